"""Reading and writing the files that a command line or a site file names; `-` is stdin or stdout.

Whatever the name leads to, reading ends: a file that is too long, a device that never ends, and a pipe
into which nobody writes are refused in words.
"""

import os
import select
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

from evmesh.domain.errors import InvalidInput

STDIN = "-"
STDOUT = STDIN  # the same dash
MAX_INPUT_BYTES: Final = 64 * 2**20
"""No problem, schedule, receipt or trust file, no prices and no sessions come near it."""

_PIPE_WITHIN_S: Final = 10.0
"""How long a named pipe may be silent."""

_CHUNK: Final = 2**20


def read_input(name: str, most: int = MAX_INPUT_BYTES) -> bytes:
    """Give the bytes of a file, or of stdin for `-`, `most` of them at most.

    Raises InvalidInput `file.unreadable`, `file.too_large` or, for a pipe into which nobody writes,
    `file.silent`.
    """
    try:
        if name == STDIN:
            return _read_stdin(most)
        return read_file(Path(name), most)
    except OSError as error:
        raise _unreadable(name, error.strerror or str(error)) from error
    except ValueError as error:  # a name with a zero byte in it, or stdin that was closed
        raise _unreadable(name, str(error)) from error


def read_file(path: Path, most: int = MAX_INPUT_BYTES) -> bytes:
    """Give the bytes of a file; raises OSError, and InvalidInput `file.too_large` or `file.silent`."""
    # Without O_NONBLOCK the opening of a named pipe would wait for its writer, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return _read_pipe(descriptor, str(path), most)
        os.set_blocking(descriptor, True)
        return _bounded(file, str(path), most)


def read_optional(name: str | None) -> bytes | None:
    """Give the bytes of a file that may not have been named."""
    return None if name is None else read_input(name)


def require_one_stdin(*names: str | None) -> None:
    """Raise InvalidInput where more than one file is to come from stdin."""
    if names.count(STDIN) > 1:
        raise InvalidInput("file.stdin_twice", "stdin cannot be two files", do="name all but one of them")


def write_output(name: str, content: bytes) -> None:
    """Write whole or not at all: InvalidInput `file.unwritable` leaves what stood there before."""
    if name == STDOUT:
        sys.stdout.buffer.write(content + b"\n" if sys.stdout.isatty() else content)  # redirected: the bytes
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe has nothing to keep whole
            return
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(draft).chmod(0o644)
            Path(draft).replace(target)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInput(
            "file.unwritable", f"{name}: {error.strerror}", do="check the folder and its rights"
        ) from error


def _read_stdin(most: int) -> bytes:
    return _bounded(sys.stdin.buffer, "stdin", most)


def _bounded(file: BinaryIO, name: str, most: int) -> bytes:
    """Read to the end, but never more than one byte past the limit."""
    found = bytearray()
    while part := file.read(min(_CHUNK, most + 1 - len(found))):
        found += part
        if len(found) > most:
            raise _too_large(name, most)
    return bytes(found)


def _read_pipe(descriptor: int, name: str, most: int) -> bytes:
    found = bytearray()
    while True:
        if not select.select([descriptor], [], [], _PIPE_WITHIN_S)[0]:
            raise InvalidInput(
                "file.silent",
                f"nothing came out of the pipe {name} for {_PIPE_WITHIN_S:g} s",
                do="see that something is written to it, or name a file",
            )
        part = os.read(descriptor, min(_CHUNK, most + 1 - len(found)))
        if not part:
            return bytes(found)
        found += part
        if len(found) > most:
            raise _too_large(name, most)


def _too_large(name: str, most: int) -> InvalidInput:
    return InvalidInput(
        "file.too_large", f"{name} has more than {most} bytes", do="check that this is the file you mean"
    )


def _unreadable(name: str, why: str) -> InvalidInput:
    return InvalidInput("file.unreadable", f"{name}: {why}", do="check the name of the file")
