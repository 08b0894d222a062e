"""All that `evmesh up` is given, read and checked before anything is started.

A mistake that only a child process found would end it again and again, far from who made it.
"""

import csv
import re
import sqlite3
from pathlib import Path
from typing import Final

from evmesh.app.config import FIRST_INSTANT, LAST_INSTANT, SiteConfig, load_site, load_tariff
from evmesh.app.files import read_file
from evmesh.app.registration import CODES
from evmesh.app.sim_hardware import visited
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput
from evmesh.sim.visits import Visit, parse_visits

_DRIVER: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
"""A driver's name is the name of the file that holds the key."""

_CHECKED_WHOLE_BYTES: Final = 2**28
"""A larger database is looked at only in part: the check reads all of it."""

_SQLITE_HEADER: Final = b"SQLite format 3\x00"


def load_inputs(site_file: Path) -> SiteConfig:
    """Read the site file and the files that it names; raises InvalidInput for the first mistake."""
    site = load_site(site_file)
    load_tariff(site.prices, site.time_zone)
    for path in (site.sessions, site.more_sessions):
        if path is not None:
            load_visits(site, path)
    return site


def load_visits(site: SiteConfig, path: Path) -> tuple[Visit, ...]:
    """Read a sessions file for this site; raises InvalidInput."""
    try:
        visits = parse_visits(read_file(path).decode(), site.time_zone)
    except OSError as error:
        what = f"no sessions file can be read at {path}: {error.strerror}"
        raise InvalidInput("site.not_found", what, path="sessions") from error
    except (ValueError, OverflowError, csv.Error) as error:
        raise InvalidInput("sessions.unreadable", f"{path}: {error}", path="sessions") from error
    names = visited(site)
    for visit in visits:
        _check_visit(visit, names)
    return visits


def open_directory(data: Path, option: str = "--data") -> None:
    """Make a directory if it is missing; raises InvalidInput where nothing can be kept in it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe = data / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        why = "it is not a directory" if isinstance(error, FileExistsError | NotADirectoryError) else why
        raise InvalidInput(
            "data.unusable",
            f"nothing can be kept in {data}: {why}",
            do=f"name a directory in which you may write, with {option}",
        ) from error


def check_databases(data: Path) -> None:
    """Look at the databases of a data directory; raises where one is not what evmesh wrote.

    IntegrityFailure `store.damaged`, or InvalidInput `store.foreign` for a database of another program.
    """
    for name, table in (
        ("state.db", "alembic_version"),
        ("sim/sim.db", "evse"),
        ("sim/faucet.db", "alembic_version"),
        ("telemetry.db", ""),
    ):
        path = data / name
        if path.exists():
            _check_database(path, table)
    _check_state_is_there(data)


def _check_visit(visit: Visit, connectors: set[str]) -> None:
    where = f"{visit.driver[:64]}, {visit.arrival:%Y-%m-%d %H:%M}"
    if not _DRIVER.fullmatch(visit.driver):
        raise InvalidInput(
            "sessions.bad_driver",
            f"{visit.driver[:64]!r} cannot be a driver's name",
            do="use letters, digits, hyphens, dots and underscores",
            path="driver",
        )
    if visit.connector not in connectors:
        raise InvalidInput(
            "sessions.unknown_connector",
            f"the site has no connector {visit.connector[:64]!r}",
            do="use the names of the site file",
            path=where,
        )
    years = range(FIRST_INSTANT.year, LAST_INSTANT.year)
    if any(at.year not in years for at in (visit.arrival, visit.stated_departure, visit.departure)):
        raise InvalidInput("sessions.bad_time", "a time is not of this century", path=where)


def _check_state_is_there(data: Path) -> None:
    """Raise IntegrityFailure `store.lost` where a directory that has run has no sessions any more.

    The codes are written when the state has been: a first start that was broken off has neither.
    """
    state = data / "state.db"
    if (data / CODES).exists() and not (state.exists() and state.stat().st_size):
        raise IntegrityFailure(
            "store.lost",
            f"{state} is {'empty' if state.exists() else 'missing'}, but this directory has run before:"
            " its sessions and what is owed for them would be gone",
            do="restore it from a backup; to begin anew, delete the whole directory, keys and chain too",
        )


def _check_database(path: Path, table: str) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE_HEADER))
        if not head:
            return  # SQLite makes the file first, and writes when it has something to write
        if head != _SQLITE_HEADER:
            raise _damaged(path, "it is not an SQLite database")
        tables = _tables(path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return  # somebody uses it, so it can be read
        raise _damaged(path, str(error)) from error
    except (OSError, sqlite3.Error) as error:
        raise _damaged(path, str(error)) from error
    if table and tables and table not in tables:
        raise InvalidInput(
            "store.foreign",
            f"{path} is a database of another program",
            do="name the data directory that evmesh made, or a new one",
        )


def _tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path, timeout=1)
    try:
        if path.stat().st_size <= _CHECKED_WHOLE_BYTES:
            [(verdict,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
            if verdict != "ok":
                raise _damaged(path, str(verdict))
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    finally:
        connection.close()


def _damaged(path: Path, why: str) -> EvmeshError:
    return IntegrityFailure(
        "store.damaged",
        f"{path} is damaged: {why}",
        do="restore it from a backup, or name another directory with --data"
        if path.name != "telemetry.db"
        else f"delete {path}: only the graphs of the past are lost",
    )
