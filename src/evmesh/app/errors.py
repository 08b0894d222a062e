"""How a command ends when it fails: what happened and what to do, and an exit code by class."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from evmesh.domain.errors import EvmeshError

EXIT_INTERRUPTED = 128 + 2
"""As a shell reports SIGINT."""

EXIT_BROKEN_PIPE = 128 + 13
"""As a shell reports SIGPIPE: whoever read our output has gone."""


@contextmanager
def exit_on_error(json_output: bool = False) -> Iterator[None]:
    """Turn a failure of the block into an exit code and words; also a decorator of commands.

    An EvmeshError exits with the code of its class. It is described on stderr, or with
    `json_output` as one object on stdout: {"ok":false,"code","what","do","path"}. Ctrl-C and a
    reader that went away are quiet. Anything else is a programming error and keeps its traceback.
    """
    try:
        yield
    except EvmeshError as error:
        report(error, json_output)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except BrokenPipeError as error:
        # The interpreter flushes stdout once more on its way out, which would fail aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_BROKEN_PIPE) from error


def report(error: EvmeshError, json_output: bool) -> None:
    """Say a failure, to a person on stderr or to a program on stdout."""
    if not json_output:
        typer.echo(error.describe(), err=True)
        return
    answer = {"ok": False, "code": error.code, "what": error.what, "do": error.do, "path": error.path}
    typer.echo(json.dumps(answer, ensure_ascii=False))
