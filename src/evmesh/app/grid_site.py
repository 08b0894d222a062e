"""`[[grid]]` of a site file: which grid operators may limit which groups, and on what channel they say so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evmesh.app.files import read_file
from evmesh.domain.channel import KEY_SIZE, Channel, Mode
from evmesh.domain.errors import InvalidInput

_KEYS: Final = frozenset({"name", "mode", "writer", "channel", "groups", "grant"})
_LONGEST: Final = 64
_MAX_GRANT: Final = 4_096


@dataclass(frozen=True, slots=True)
class GridConfig:
    """One grid operator. `grant` is the file with the sealed grant; None for a public channel."""

    name: str
    channel: Channel
    groups: frozenset[str]
    grant: Path | None

    def sealed(self) -> bytes:
        """Read the grant: hexadecimal; empty for a public channel. Raises InvalidInput `site.bad_grant`."""
        if self.grant is None:
            return b""
        try:
            return bytes.fromhex(read_file(self.grant, _MAX_GRANT).decode().strip().removeprefix("0x"))
        except (OSError, ValueError) as error:
            raise InvalidInput(
                "site.bad_grant",
                f"{self.grant} holds no grant of the grid operator {self.name}",
                do="have it made with `evmesh grid allow`, for the key that `evmesh station inbox` tells",
            ) from error


def grids_of(tables: Any, known: frozenset[str], beside: Path) -> tuple[GridConfig, ...]:
    """Read all `[[grid]]` tables; raises InvalidInput with the path of the wrong entry."""
    if tables is None:
        return ()
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise _bad("grid", "tables [[grid]] must stand here")
    found = tuple(_grid(one, f"grid[{number}].", known, beside) for number, one in enumerate(tables))
    if len({one.name for one in found}) != len(found):
        raise _bad("grid", "two grid operators have one name")
    return found


def _grid(table: dict[str, Any], at: str, known: frozenset[str], beside: Path) -> GridConfig:
    for key in table.keys() - _KEYS:
        raise _bad(at + key, f"{key} means nothing here")
    mode = _text(table, "mode", at)
    if mode not in list(Mode):
        raise _bad(at + "mode", "mode is public, private or restricted")
    channel = Channel(Mode(mode), _key(table, at), _text(table, "channel", at))
    groups = table.get("groups")
    if not isinstance(groups, list) or not groups or not all(isinstance(one, str) for one in groups):
        raise _bad(at + "groups", "groups are the names of groups that it may limit")
    if unknown := sorted(set(groups) - known):
        raise _bad(at + "groups", f"there is no group {unknown[0]!r}")
    if (channel.mode is Mode.PUBLIC) != ("grant" not in table):
        raise _bad(at + "grant", "grant names a file, unless the channel is public")
    grant = beside / _text(table, "grant", at) if "grant" in table else None
    return GridConfig(_text(table, "name", at), channel, frozenset(groups), grant)


def _text(table: dict[str, Any], key: str, at: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
        raise _bad(at + key, f"{key} has 1 to {_LONGEST} printable characters")
    return value


def _key(table: dict[str, Any], at: str) -> bytes:
    value = table.get("writer")
    try:
        key = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise _bad(at + "writer", "writer is the grid operator's public key: 64 hexadecimal digits")
    return key


def _bad(path: str, what: str) -> InvalidInput:
    return InvalidInput("site.bad_entry", what, path=path)
