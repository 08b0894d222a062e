"""The standard streams, made safe to use: they may be closed, or of an encoding that lacks a character."""

import io
import os
import sys


def settle_streams() -> None:
    """Fill in streams that were closed, and let no character fail.

    A closed stdout stays one that cannot be written to: a command whose answer is lost must not end
    with 0. Its number is taken all the same, or the next file or socket that is opened would get it
    and receive what is printed.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - it stays until the end
    if sys.stdout is None:
        sys.stdout = _writing(os.open(os.devnull, os.O_RDONLY))
    if sys.stderr is None:
        sys.stderr = _writing(os.open(os.devnull, os.O_WRONLY))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _writing(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w"), encoding="utf-8", write_through=True)
