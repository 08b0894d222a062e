"""Reading the time series back, by the command line and over HTTP, from both stores."""

import asyncio
import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from evmesh.app import problems
from evmesh.app.api_telemetry import add_telemetry
from evmesh.app.main import app
from evmesh.app.telemetry_db import readings_at
from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.rows import Row
from tests.databases import Postgres

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""The clocks of Zurich go forward in the night that follows."""

ENERGY = "TotalEnergyConsumption"
DAY = ("--from", "2026-03-28", "--to", "2026-03-30")


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A time series with a register that grows by 100 Wh each quarter-hour for a day."""
    url = f"sqlite:///{tmp_path / 'telemetry.db'}"
    if request.param == "sqlite":
        asyncio.run(fill(url))
        yield url
        return
    cluster: Postgres = request.getfixturevalue("postgres")
    name = f"t{uuid4().hex}"
    url = cluster.create(name)
    asyncio.run(fill(url))
    yield url
    cluster.drop(name)


async def fill(url: str) -> None:
    def row(name: str, value: int | str | None, after: timedelta, seq: int) -> Row:
        said = TelemetryValue("cp-1", name, START + after, value)
        return Row(said, f"gw-1/{seq}", START, "", b"", "gw-1", seq)

    rows = [row(ENERGY, 1_000 + 100 * n, n * timedelta(minutes=15), n + 1) for n in range(97)]
    rows += [row("PowerOutput", 400 + n % 7, n * timedelta(seconds=10), n + 1_000) for n in range(600)]
    rows += [
        row("OperationState", "charging", timedelta(), 5_000),
        row("StateOfCharge", None, timedelta(), 5_001),
    ]
    async with readings_at(url) as store:
        await store.write(rows, [])


def telemetry(*args: str, expect: int = 0) -> str:
    done = CliRunner().invoke(app, ["telemetry", *args])
    assert done.exit_code == expect, done.output
    return done.stdout if expect == 0 else done.stderr


def asked(*args: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(telemetry(*args, "--json"))
    return found


def test_the_last_values_are_told(db: str) -> None:
    values = json.loads(telemetry("last", "cp-1", "--db", db, "--json"))["values"]
    assert values["OperationState"] == {"at": "2026-03-28T12:00:00Z", "value": "charging"}
    assert values[ENERGY] == {"at": "2026-03-29T12:00:00Z", "value": 10_600}
    assert values["StateOfCharge"]["value"] is None
    assert "charging" in telemetry("last", "cp-1", "--db", db)
    assert json.loads(telemetry("last", "nobody", "--db", db, "--json"))["values"] == {}


def test_a_range_is_told_reading_by_reading_or_by_stretches(db: str) -> None:
    every = asked("range", "cp-1", "PowerOutput", *DAY, "--db", db)["points"]
    assert [point["value"] for point in every] == [400 + n % 7 for n in range(600)]
    minutes = asked("range", "cp-1", "PowerOutput", *DAY, "--resolution", "1m", "--db", db)["points"]
    assert len(minutes) == 100
    assert minutes[0] == {
        "at": "2026-03-28T12:00:00Z",
        "count": 6,
        "mean": 402,
        "lowest": 400,
        "highest": 405,
        "first": 400,
        "last": 405,
    }
    quarters = asked("range", "cp-1", "PowerOutput", *DAY, "--resolution", "15m", "--db", db)["points"]
    assert [point["count"] for point in quarters] == [90] * 6 + [60]


def test_energy_is_told_per_local_day_also_where_it_has_23_hours(db: str) -> None:
    asked_for = ("energy", "cp-1", *DAY, "--time-zone", "Europe/Zurich", "--db", db)
    days = asked(*asked_for)["energy"]
    # 12:00 to 23:00 UTC is the first local day; what flowed from the last reading to the next counts there.
    assert [(day["start"], day["wh"]) for day in days] == [
        ("2026-03-28T00:00:00+01:00", 4_300),
        ("2026-03-29T00:00:00+01:00", 5_300),
    ]
    hours = asked(*asked_for, "--per", "hour")["energy"]
    assert sum(int(str(hour["wh"])) for hour in hours) == 9_600
    assert [hour["start"] for hour in hours][12:14] == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]
    assert [hour["wh"] for hour in hours][1:24] == [400] * 23
    (month,) = asked(*asked_for, "--per", "month")["energy"]
    assert (month["start"], month["wh"], month["went_back"]) == ("2026-03-01T00:00:00+01:00", 9_600, False)


def test_everything_is_exported_as_csv_and_as_parquet(db: str, tmp_path: Path) -> None:
    table, text = tmp_path / "out.parquet", tmp_path / "out.csv"
    assert "699 readings" in telemetry("export", "cp-1", *DAY, "--csv", str(text), "--db", db)
    assert "699 readings" in telemetry("export", "cp-1", *DAY, "--parquet", str(table), "--db", db)
    with text.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["value"] for row in rows} == {ENERGY, "PowerOutput", "OperationState", "StateOfCharge"}
    assert [row["number"] for row in rows if row["value"] == ENERGY] == [
        str(1_000 + 100 * n) for n in range(97)
    ]
    found = pyarrow.parquet.read_table(table).to_pylist()
    assert [(r["value"], r["at"], r["number"], r["word"]) for r in found] == [
        (
            row["value"],
            datetime.fromisoformat(row["at"]),
            int(row["number"]) if row["number"] else None,
            row["word"] or None,
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("range", "cp-1", "Power", *DAY), "telemetry.bad_question"),
        (("range", "cp-1", "PowerOutput", "--from", "yesterday", "--to", "2026-01-01"), "no instant"),
        (("range", "cp-1", "PowerOutput", "--from", "2026-01-02", "--to", "2026-01-01"), "not after"),
        (("range", "cp-1", "PowerOutput", *DAY, "--resolution", "0m"), "no width"),
        (("range", "cp-1", "PowerOutput", *DAY, "--resolution", "1s"), "too_many_points"),
        (("energy", "cp-1", *DAY, "--time-zone", "Nowhere/Here"), "no time zone"),
        (("export", "cp-1", *DAY), "name one file"),
    ],
)
def test_a_question_that_makes_no_sense_is_said_to_be_so(
    tmp_path: Path, args: tuple[str, ...], code: str
) -> None:
    url = f"sqlite:///{tmp_path / 'telemetry.db'}"
    asyncio.run(fill(url))
    assert code in telemetry(*args, "--db", url, expect=2)


def test_a_time_series_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    assert "no file" in telemetry("last", "cp-1", "--db", f"sqlite:///{path}", expect=2)
    assert not path.exists()
    assert "names no time series" in telemetry("last", "cp-1", "--db", "mysql://x/y", expect=2)


async def test_the_same_is_told_over_http(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'telemetry.db'}"
    await fill(url)
    api = FastAPI()
    problems.install(api)
    async with readings_at(url) as store:
        add_telemetry(api, store=store)
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/v1/telemetry") as client:
            last = (await client.get("/cp-1")).json()
            assert last["values"][ENERGY]["value"] == 10_600
            bounds = {"from": "2026-03-28", "to": "2026-03-30"}
            asked_for = {"value": "PowerOutput", "resolution": "1h", **bounds}
            points = (await client.get("/cp-1/range", params=asked_for)).json()["points"]
            assert [point["count"] for point in points] == [360, 240]
            months = (await client.get("/cp-1/energy", params={**bounds, "per": "month"})).json()["energy"]
            assert [month["wh"] for month in months] == [9_600]
            wrong = await client.get("/cp-1/range", params={**asked_for, "value": "Power"})
            assert (wrong.status_code, wrong.json()["code"]) == (400, "telemetry.bad_question")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name it with --broker mqtt://HOST:1883"),
        (("--broker", "http://x"), "no broker"),
        (("--broker", "mqtt://x:port"), "no broker"),
        (("--broker", "mqtts://x"), "needs --authority"),
        (("--broker", "mqtt://x", "--key", "k.pem"), "has none of them"),
        (("--broker", "mqtt://x", "--db", "mysql://y"), "names no time series"),
    ],
)
def test_an_ingest_that_cannot_work_is_said_to_be_so(args: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["ingest", *args])
    assert done.exit_code == 2
    assert said in done.stderr
