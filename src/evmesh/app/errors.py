"""How a command ends when it fails: what happened and what to do, and an exit code by class."""

import contextlib
import errno
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Unavailable

EXIT_INTERRUPTED = 128 + 2
"""As a shell reports SIGINT."""

EXIT_BROKEN_PIPE = 128 + 13
"""As a shell reports SIGPIPE: whoever read our output has gone."""

_WRONG_NAME: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.EROFS,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENXIO,
    }
)
"""What the system says where a path is the wrong one; anything else is trouble of its own."""


@contextmanager
def exit_on_error(json_output: bool = False) -> Iterator[None]:
    """Turn a failure of the block into an exit code and words; also a decorator of commands.

    An EvmeshError exits with the code of its class. It is described on stderr, or with
    `json_output` as one object on stdout: {"ok":false,"code","what","do","path"}. What the
    operating system or a database file refuses is said as one of ours. Ctrl-C and a reader that went
    away are quiet. Anything else is a programming error and keeps its traceback.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except (Exception, BaseExceptionGroup) as error:
        cause = _one_cause(error)
        if isinstance(cause, BrokenPipeError):
            _stop_writing()
            raise typer.Exit(EXIT_BROKEN_PIPE) from error
        ours = explained(cause)
        if ours is None:
            raise
        report(ours, json_output)
        raise typer.Exit(ours.exit_code) from error


def explained(error: BaseException) -> EvmeshError | None:
    """Give a failure as one of ours; None for a programming error."""
    if isinstance(error, EvmeshError):
        return error
    cause = getattr(error, "orig", None) or error  # SQLAlchemy keeps the driver's own error there
    if isinstance(cause, sqlite3.Error):
        return _of_database(cause)
    return _of_system(error) if isinstance(error, OSError) else None


def report(error: EvmeshError, json_output: bool) -> None:
    """Say a failure, to a person on stderr or to a program on stdout; on stderr where that fails."""
    try:
        if json_output:
            answer = {"ok": False, "code": error.code, "what": error.what, "do": error.do, "path": error.path}
            typer.echo(json.dumps(answer))
        else:
            sys.stdout.flush()
            typer.echo(error.describe(), err=True)
    except OSError:
        _stop_writing()
        with contextlib.suppress(OSError):
            typer.echo(error.describe(), err=True)


def _one_cause(error: BaseException) -> BaseException:
    """Give what a group of tasks failed of: the first that is no echo of a peer that is away."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = list(_leaves(error))
    unknown = [leaf for leaf in leaves if explained(leaf) is None]
    if unknown:
        return unknown[0]
    return next((leaf for leaf in leaves if not isinstance(leaf, Unavailable)), leaves[0])


def _leaves(group: "BaseExceptionGroup[BaseException]") -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def _of_system(error: OSError) -> EvmeshError:
    why = error.strerror or str(error)
    where = f"{os.fsdecode(error.filename)}: {why}" if isinstance(error.filename, str | bytes) else why
    if error.errno in _WRONG_NAME:
        return InvalidInput("file.unusable", where, do="check the name and the rights of the file or folder")
    return Unavailable(
        "system.failed",
        f"the system could not do it: {where}",
        do="check the free space, and where the output goes",
    )


def _of_database(error: sqlite3.Error) -> EvmeshError:
    why = str(error)
    if "locked" in why or "unable to open" in why or "full" in why:
        return Unavailable(
            "store.unavailable",
            f"the database cannot be used: {why}",
            do="check the free space, and that no other program uses the data directory",
        )
    return IntegrityFailure(
        "store.damaged",
        f"the database cannot be read: {why}",
        do="restore the data directory from a backup, or name another with --data",
    )


def _stop_writing() -> None:
    """Let go of stdout: the interpreter flushes it once more on its way out, which would fail aloud."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
