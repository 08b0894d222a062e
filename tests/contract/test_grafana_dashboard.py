"""The Grafana dashboard asks what the real tables answer."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.rows import Row, SetAside
from tests.databases import Postgres

FOLDER = Path(__file__).parents[2] / "examples" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "chargers.json").read_text())
AT = datetime(2026, 6, 1, 8, tzinfo=UTC)
VALUES: dict[str, list[int | str]] = {
    "PowerOutput": [7_000, 11_000],
    "OutputCurrent": [16_000],
    "MaximumOutputCurrent": [32_000],
    "OperationState": ["idle", "charging"],
    "TotalEnergyConsumption": [1_000, 5_000],
    "ReadingsLost": [3],
    "ClockSkew": [-40],
}


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    name = f"t{uuid4().hex}"
    url = postgres.create(name)
    async with PostgresReadings(url) as store:
        said = [
            TelemetryValue("cp-1", name, AT + timedelta(days=n), value)
            for name, values in VALUES.items()
            for n, value in enumerate(values)
        ]
        rows = [Row(one, f"gw-1/{n}", AT, "", b"", "gw-1", n) for n, one in enumerate(said, start=1)]
        await store.write(rows, [SetAside("chargers/x/y", b"z", "telemetry.bad_payload", "no", AT)])
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()
    postgres.drop(name)


def as_grafana_asks(sql: str) -> str:
    """Put in what Grafana does: the variable's values, quoted, and the time filter."""
    sql = sql.replace("$charger", "'cp-1','cp-2'")
    while "$__timeFilter(" in sql:
        before, _, rest = sql.partition("$__timeFilter(")
        column, _, after = rest.partition(")")
        sql = f"{before}{column} BETWEEN '2026-05-30T00:00:00Z' AND '2026-06-07T00:00:00Z'{after}"
    assert "$" not in sql, sql
    return sql


async def test_every_panel_gets_an_answer_from_the_real_tables(
    database: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            rows = await database.fetch(as_grafana_asks(target["rawSql"]))
            assert rows, panel["title"]
            if target["format"] == "time_series":
                assert {"time", "metric", "value"} == set(rows[0].keys()), panel["title"]
    energy = next(one for one in DASHBOARD["panels"] if one["title"].startswith("Energy per day"))
    rows = await database.fetch(as_grafana_asks(energy["targets"][0]["rawSql"]))
    assert [row["value"] for row in rows] == [0, 4_000]


async def test_the_chargers_to_choose_from_are_those_that_were_heard(
    database: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert [row[0] for row in await database.fetch(variable["query"])] == ["cp-1"]


def test_panels_and_data_source_name_each_other() -> None:
    source = (FOLDER / "datasource.yaml").read_text()
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert len(used) == 1
    assert f"uid: {used.pop()}\n" in source
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
