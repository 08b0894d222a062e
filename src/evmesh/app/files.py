"""Reading the files that a command line names; `-` is stdin."""

import sys
from pathlib import Path

from evmesh.domain.errors import InvalidInput

STDIN = "-"


def read_input(name: str) -> bytes:
    """Give the bytes of a file, or of stdin for `-`; raises InvalidInput `file.unreadable`."""
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InvalidInput(
            "file.unreadable", f"{name}: {error.strerror}", do="check the name of the file"
        ) from error


def read_optional(name: str | None) -> bytes | None:
    """Give the bytes of a file that may not have been named."""
    return None if name is None else read_input(name)


def require_one_stdin(*names: str | None) -> None:
    """Raise InvalidInput where more than one file is to come from stdin."""
    if names.count(STDIN) > 1:
        raise InvalidInput("file.stdin_twice", "stdin cannot be two files", do="name all but one of them")
