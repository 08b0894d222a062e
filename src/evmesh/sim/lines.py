"""Lines that keep their name: a pseudo-terminal is another one after every start, its link is the same."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def linked(link: Path, target: str) -> Iterator[None]:
    """Let `link` lead to `target`; what it led to before is forgotten, and at the end it leads nowhere."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    try:
        yield
    finally:
        if os.path.lexists(link) and str(link.readlink()) == target:
            link.unlink()


def unlink_all(directory: Path) -> None:
    """Take all links below a directory away: who made them is dead, and what they lead to is others'."""
    for link in directory.rglob("*") if directory.is_dir() else ():
        if link.is_symlink():
            link.unlink(missing_ok=True)
