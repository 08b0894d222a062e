"""Which time series a URL names: `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from evmesh.domain.errors import InvalidInput
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.store import SqliteReadings

_SQLITE: Final = "sqlite:///"
Readings = SqliteReadings | PostgresReadings


def readings_at(url: str, *, must_exist: bool = False) -> Readings:
    """Give the store, to be opened with `async with`. Raises InvalidInput `telemetry.bad_database`."""
    if url.startswith(_SQLITE):
        path = Path(url.removeprefix(_SQLITE))
        if must_exist and not path.is_file():
            raise InvalidInput(
                "telemetry.bad_database",
                f"there is no file {path}",
                do="run `evmesh up`, or `evmesh ingest --broker mqtt://HOST:PORT --db URL`, which fill one; "
                "or name another with --db sqlite:///FILE or postgresql://USER@HOST/DATABASE",
                path="db",
            )
        return SqliteReadings(path)
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise _bad(str(error)) from error
    if scheme not in ("postgresql", "postgres"):
        raise _bad(f"{url.partition('@')[0][:80]!r} names no time series")
    return PostgresReadings(url)


def _bad(what: str) -> InvalidInput:
    return InvalidInput(
        "telemetry.bad_database",
        what,
        do="write sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        path="db",
    )
