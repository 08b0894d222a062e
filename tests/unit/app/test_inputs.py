"""All input is read and checked before anything is started, and reading always ends."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from evmesh.app.errors import explained
from evmesh.app.examples import example
from evmesh.app.files import read_input
from evmesh.app.inputs import check_databases, load_inputs, open_directory
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Unavailable
from tests.unit.app.test_site_config import SITE

PRICES = "hour,price\n2026-06-01T00:00,77.355\n"
HEADER = "driver,connector,arrival,stated_departure,departure,requested_wh,delivered_wh\n"
VISIT = "driver-1,bay-1,2026-06-01T08:00:00,2026-06-01T09:00:00,2026-06-01T09:00:00,1000,1000\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(
        SITE.replace('prices.csv"', 'prices.csv"\nsessions = "sessions.csv"', 1)
    )
    (tmp_path / "prices.csv").write_text(PRICES)
    (tmp_path / "sessions.csv").write_text(HEADER + VISIT)
    return tmp_path / "site.toml"


def test_a_whole_site_loads(site: Path) -> None:
    assert load_inputs(site).name == "Yard"
    for name in ("site.toml", "demo.toml"):
        assert load_inputs(example(name)).groups


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("prices.csv", "", "site.bad_prices"),
        ("prices.csv", "hour,price\n0001-01-01T00:00,5\n", "site.bad_prices"),
        ("prices.csv", "hour,price\n9999-01-01T00:00,5\n", "site.bad_prices"),
        ("prices.csv", "hour,price\n2026-01-01T00:00,1e999999999\n", "site.bad_prices"),
        ("prices.csv", "hour,price\n2026-01-01T00:00,-1e7\n", "site.bad_prices"),
        ("prices.csv", "hour,price\n2026-01-01T00:00,sNaN\n", "site.bad_prices"),
        ("prices.csv", b"\xff\xfe", "site.bad_prices"),
        ("prices.csv", None, "site.not_found"),
        ("sessions.csv", "", "sessions.missing_column"),
        ("sessions.csv", HEADER + "x\n", "sessions.empty"),
        ("sessions.csv", HEADER + VISIT.replace("bay-1", "bay-9"), "sessions.unknown_connector"),
        ("sessions.csv", HEADER + VISIT.replace("driver-1", "../../etc/cron.d/x"), "sessions.bad_driver"),
        ("sessions.csv", HEADER + VISIT.replace("driver-1", ".."), "sessions.bad_driver"),
        ("sessions.csv", HEADER + VISIT.replace("2026", "0001"), "sessions."),
        ("sessions.csv", HEADER + VISIT.replace("2026", "9999"), "sessions."),
        ("sessions.csv", HEADER + "x" * 200_000 + "," * 6 + "\n", "sessions.unreadable"),
        ("sessions.csv", b"\xff", "sessions.unreadable"),
        ("sessions.csv", None, "site.not_found"),
        ("site.toml", "a = " + "[" * 100_000, "site.not_toml"),
        ("site.toml", "a = " + "9" * 10_000, "site.not_toml"),
        ("site.toml", "a = 9999-99-99", "site.not_toml"),
        ("site.toml", "x = 1\n" * 400_000, "file.too_large"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_started(
    site: Path, name: str, content: str | bytes | None, code: str
) -> None:
    path = site.parent / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput) as refused:
        load_inputs(site)
    assert refused.value.code.startswith(code)


@pytest.mark.parametrize("year", ["0001", "1999", "2100", "9999"])
def test_a_start_that_no_clock_could_show_is_refused(site: Path, year: str) -> None:
    site.write_text(site.read_text().replace("2026-06-01T06", f"{year}-06-01T06"))
    with pytest.raises(InvalidInput) as refused:
        load_inputs(site)
    assert refused.value.path == "start"


@pytest.mark.parametrize("name", ["a/b", "+", "#", "", "x" * 65, "bay 1", "báy"])
def test_a_connector_has_a_name_that_fits_into_a_topic(site: Path, name: str) -> None:
    site.write_text(site.read_text().replace("bay-1", name))
    with pytest.raises(InvalidInput) as refused:
        load_inputs(site)
    assert refused.value.path == "group[0].station[0].connector[0].name"


@pytest.mark.parametrize(
    ("name", "code"),
    [("/dev/zero", "file.too_large"), ("/", "file.unreadable"), ("a\0b", "file.unreadable"),
     ("no/such", "file.unreadable"), ("/proc/self/mem", "file.unreadable"), ("x" * 5000, "file.unreadable")],
)  # fmt: skip
def test_what_is_no_file_is_refused(name: str, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        read_input(name, 1_000_000)


def test_a_file_may_be_as_long_as_the_limit_and_no_longer(tmp_path: Path) -> None:
    (tmp_path / "just").write_bytes(b"x" * 1000)
    assert len(read_input(str(tmp_path / "just"), 1000)) == 1000
    with pytest.raises(InvalidInput, match=r"file\.too_large"):
        read_input(str(tmp_path / "just"), 999)


def test_a_pipe_is_read_to_its_end_and_a_silent_one_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"x" * 300_000))
    writer.start()
    assert len(read_input(str(pipe))) == 300_000
    writer.join()
    monkeypatch.setattr("evmesh.app.files._PIPE_WITHIN_S", 0.05)
    with pytest.raises(InvalidInput, match=r"file\.silent"):
        read_input(str(pipe))


@pytest.mark.parametrize("content", [b"garbage" * 100, b"SQLite format 3\x00" + b"\xff" * 4000, b"S"])
@pytest.mark.parametrize("name", ["state.db", "sim/sim.db", "sim/faucet.db", "telemetry.db"])
def test_a_damaged_database_is_said_and_left_as_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(IntegrityFailure, match=r"store\.damaged") as damaged:
        check_databases(tmp_path)
    assert str(path) in damaged.value.what
    assert path.read_bytes() == content


def database(path: Path, table: str) -> None:
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE {table} (value TEXT)")
    connection.executemany(f"INSERT INTO {table} VALUES (?)", [("x" * 500,)] * 200)
    connection.commit()
    connection.close()


def test_a_database_that_is_cut_short_or_of_another_program_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database(path, "alembic_version")
    check_databases(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityFailure, match=r"store\.damaged"):
        check_databases(tmp_path)
    path.unlink()
    database(path, "bookmarks")
    with pytest.raises(InvalidInput, match=r"store\.foreign"):
        check_databases(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IntegrityFailure, match=r"store\.damaged"):
        check_databases(tmp_path)


@pytest.mark.parametrize("emptied", [True, False])
def test_a_directory_that_has_run_does_not_begin_anew_without_its_sessions(
    tmp_path: Path, emptied: bool
) -> None:
    (tmp_path / "codes.json").write_text("{}")
    if emptied:
        (tmp_path / "state.db").touch()
    with pytest.raises(IntegrityFailure, match=r"store\.lost"):
        check_databases(tmp_path)
    (tmp_path / "state.db").unlink(missing_ok=True)
    database(tmp_path / "state.db", "alembic_version")
    check_databases(tmp_path)


def test_a_damaged_time_series_may_be_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").write_bytes(b"not a database at all")
    with pytest.raises(IntegrityFailure, match="telemetry") as damaged:
        check_databases(tmp_path)
    assert damaged.value.do == f"delete {tmp_path / 'telemetry.db'}: only the graphs of the past are lost"


def test_an_empty_data_directory_has_nothing_to_complain_of(tmp_path: Path) -> None:
    open_directory(tmp_path / "new" / "one")
    check_databases(tmp_path / "new" / "one")
    (tmp_path / "state.db").touch()  # SQLite makes the file before it writes: a kill may come between
    check_databases(tmp_path)


@pytest.mark.parametrize("name", ["/dev/null", "/dev/null/x", "/proc/x", "a\0b"])
def test_a_directory_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"data\.unusable"):
        open_directory(Path(name))


def test_what_the_system_and_a_database_say_is_told_by_class() -> None:
    assert isinstance(explained(PermissionError(13, "Permission denied", "/x")), InvalidInput)
    assert isinstance(explained(OSError(28, "No space left on device")), Unavailable)
    assert isinstance(explained(sqlite3.OperationalError("database is locked")), Unavailable)
    assert isinstance(explained(sqlite3.DatabaseError("file is not a database")), IntegrityFailure)
    assert explained(ZeroDivisionError()) is None
