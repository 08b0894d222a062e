"""Every way to change a document a little: each byte, each field, each list. For any signed document."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from evmesh.domain.canonical import canonical_json, parse_canonical_json

Path = tuple[Any, ...]


def byte_changes(raw: bytes, seed: int) -> Iterator[tuple[int, bytes]]:
    """Change each byte in turn: its lowest bit for seed 0, one of the other bits for any other."""
    choice = random.Random(seed)
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1 if seed == 0 else 1 << choice.randint(1, 7)
        yield position, bytes(changed)


def length_changes(raw: bytes, every: int) -> Iterator[tuple[int, bytes]]:
    """Leave out, double and cut off at one byte of every `every`."""
    for position in range(0, len(raw), every):
        yield position, raw[:position] + raw[position + 1 :]
        yield position, raw[:position] + raw[position : position + 1] + raw[position:]
        yield position, raw[:position]


def value_changes(raw: bytes) -> Iterator[tuple[Path, bytes]]:
    """Put other values into each field in turn, encoded canonically."""
    document = parse_canonical_json(raw)
    for path in paths(document):
        value = at(document, path)
        if not isinstance(value, dict | list):
            for other in _others(value):
                yield path, _with(document, path, other)


def key_changes(raw: bytes) -> Iterator[tuple[Path, bytes]]:
    """Leave out each key in turn, and add one to each object."""
    document = parse_canonical_json(raw)
    for path in paths(document):
        members = at(document, path)
        if isinstance(members, dict):
            for key in members:
                yield (*path, key), _with(document, path, {k: v for k, v in members.items() if k != key})
            yield path, _with(document, path, members | {"note": "paid"})


def list_changes(raw: bytes) -> Iterator[tuple[Path, bytes]]:
    """Shorten, lengthen and turn round each list in turn."""
    document = parse_canonical_json(raw)
    for path in paths(document):
        items = at(document, path)
        if isinstance(items, list):
            for other in (items[1:], items[:-1], [*items, *items[-1:]], items[::-1]):
                if other != items:
                    yield path, _with(document, path, other)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Give the path of everything in a document, the document itself first."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from paths(item, (*path, position))


def at(document: Any, path: Path) -> Any:
    """Follow a path."""
    for key in path:
        document = document[key]
    return document


def _with(document: Any, path: Path, value: Any) -> bytes:
    if not path:
        return canonical_json(value)
    changed = deepcopy(document)
    at(changed, path[:-1])[path[-1]] = value
    return canonical_json(changed)


def _others(value: int | str | None) -> list[Any]:
    """Give values of the same shape, and of other shapes."""
    if isinstance(value, int):
        return [value + 1, value - 1, 0 if value else 2, str(value), None]
    if value is None:
        return [0, "", []]
    last = "1" if value[-1] == "0" else "0"
    texts = {value[:-1] + last, value + "0", value[:-1], value.swapcase(), ""} - {value}
    return [*sorted(texts), 0, None]
