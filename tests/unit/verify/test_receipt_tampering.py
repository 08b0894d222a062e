"""Whoever changes anything in a receipt, without the payee's key, is found out."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from evmesh.domain.canonical import Json, canonical_json, parse_canonical_json
from evmesh.verify.receipt import verify_receipt
from tests.unit.verify.receipt_factory import SIGNATURES, make_receipt

RAW = make_receipt().encode()
DOCUMENT = parse_canonical_json(RAW)


def refused(raw: bytes) -> bool:
    return not verify_receipt(raw, SIGNATURES).ok


def test_the_receipt_under_attack_is_a_true_one() -> None:
    assert not refused(RAW)


@pytest.mark.parametrize("seed", range(2))
def test_every_single_changed_byte_is_refused(seed: int) -> None:
    """The lowest bit of each byte in the first round, one of the other bits in the second."""
    choice = random.Random(seed)
    accepted = []
    for position in range(len(RAW)):
        changed = bytearray(RAW)
        changed[position] ^= 1 if seed == 0 else 1 << choice.randint(1, 7)
        if not refused(bytes(changed)):
            accepted.append(position)
    assert accepted == []


def test_every_missing_and_every_doubled_byte_is_refused() -> None:
    for position in range(0, len(RAW), 7):
        assert refused(RAW[:position] + RAW[position + 1 :])
        assert refused(RAW[:position] + RAW[position : position + 1] + RAW[position:])
        assert refused(RAW[:position])


def test_every_field_changed_and_encoded_canonically_is_refused() -> None:
    paths = list(leaves(DOCUMENT))
    assert len(paths) >= 90
    for path in paths:
        for value in others(at(DOCUMENT, path)):
            changed = deepcopy(DOCUMENT)
            at(changed, path[:-1])[path[-1]] = value
            assert refused(canonical_json(changed)), (path, value)


def test_every_field_left_out_and_every_field_added_is_refused() -> None:
    for path in objects(DOCUMENT):
        for key in at(DOCUMENT, path):
            without = deepcopy(DOCUMENT)
            del at(without, path)[key]
            assert refused(canonical_json(without)), (path, key)
        more = deepcopy(DOCUMENT)
        at(more, path)["note"] = "paid"
        assert refused(canonical_json(more)), path


def test_every_list_with_an_item_more_or_less_is_refused() -> None:
    for path in lists(DOCUMENT):
        items = at(DOCUMENT, path)
        for changed_items in (items[1:], items[:-1], [*items, items[-1]], items[::-1]):
            if changed_items != items:
                changed = deepcopy(DOCUMENT)
                at(changed, path[:-1])[path[-1]] = changed_items
                assert refused(canonical_json(changed)), path


def others(value: Any) -> list[Any]:
    """Give values of the same shape and of other shapes."""
    if isinstance(value, int):
        return [value + 1, value - 1, 0 if value else 2, str(value), None]
    if value is None:
        return [0, "", []]
    last = "1" if value[-1] == "0" else "0"
    texts = {value[:-1] + last, value + "0", value[:-1], value.swapcase(), ""} - {value}
    return [*sorted(texts), 0, None]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from objects(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from objects(item, (*path, position))


def lists(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, list):
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from lists(item, (*path, key))


def at(document: Json, path: tuple[Any, ...]) -> Any:
    found: Any = document
    for key in path:
        found = found[key]
    return found
