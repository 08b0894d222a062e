"""What can still be had of an outbox whose file is damaged: after a power cut, on a dying card."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\0"
_BESIDE: Final = ("", "-wal", "-shm")
_COLUMNS: Final = "charger, boot, seq, name, at, value, precious"
_READ: Final = f"SELECT {_COLUMNS} FROM ev_outbox NOT INDEXED WHERE number {{}} ? ORDER BY number {{}}"  # noqa: S608

Row = tuple[str, str, int, str, int, str, int]


def looks_like_ours(path: Path) -> bool:
    """Tell a damaged database from a file that was never one, which may be somebody else's."""
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    return head == _MAGIC or not head.strip(b"\0")  # a block that a power cut left empty


def set_aside(path: Path) -> Path:
    """Give the file, and what SQLite keeps beside it, another name, which is told."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for end in _BESIDE:
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside


def salvage(aside: Path) -> list[Row]:
    """Read what can be read: from the oldest on, and from the newest back, up to where it is damaged."""
    first = _rows(aside, ">", "ASC", 0)
    last = _rows(aside, "<", "DESC", 2**62)
    return list(dict.fromkeys([*first, *reversed(last)]))


def _rows(aside: Path, than: str, order: str, bound: int) -> list[Row]:
    found: list[Row] = []
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(aside)) as connection:
        # Without it SQLite opens no file that is shorter than its head says; nothing is written here.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        for row in connection.execute(_READ.format(than, order), (bound,)):
            if _is_whole(row):
                found.append(row)  # noqa: PERF401 - what came before the damage counts
    return found


def _is_whole(row: tuple[object, ...]) -> bool:
    kinds = (str, str, int, str, int, str, int)
    return all(isinstance(one, kind) for one, kind in zip(row, kinds, strict=True))
