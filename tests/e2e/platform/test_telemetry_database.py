"""`evmesh up --telemetry-db`: the time series is in PostgreSQL, whose death the platform survives."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from aiomqtt import Client

from evmesh.app.up import UpOptions, running
from evmesh.domain.errors import EvmeshError
from tests.contract.chain import free_port
from tests.databases import running_postgres
from tests.e2e.platform.test_library_station import SITE

TOPIC = "chargers/meter-1/PowerOutput"


def reading(watts: int) -> bytes:
    return f'{{"timestamp":"2026-06-01T08:{watts % 60:02}:00Z","value":{watts}}}'.encode()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.1)


def options(directory: Path, url: str) -> UpOptions:
    (directory / "site.toml").write_text(SITE)
    hours = "\n".join(f"2026-06-01T{hour:02}:00:00,{50 + hour}" for hour in range(24))
    (directory / "prices.csv").write_text(hours + "\n")
    data = directory / "data"
    return UpOptions(directory / "site.toml", data, 0, 0, speed=60, with_sim=False, telemetry_db=url)


@pytest.mark.timeout(180)
async def test_the_platform_s_time_series_is_in_postgresql_and_no_death_of_it_stops_the_platform(
    tmp_path: Path,
) -> None:
    with running_postgres() as postgres:
        wanted = options(tmp_path, postgres.create("readings"))
        async with (
            running(wanted, lambda _: None) as run,
            httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api,
            Client("127.0.0.1", run.mqtt_port) as meter,
        ):

            async def told() -> int:
                return (await api.get("/v1/telemetry/meter-1")).status_code

            async def has(watts: int) -> bool:
                answer = await api.get("/v1/telemetry/meter-1")
                found = answer.json().get("values", {}) if answer.status_code == 200 else {}
                return bool(found) and found["PowerOutput"]["value"] == watts

            await meter.publish(TOPIC, reading(7_001), qos=1)
            await eventually(lambda: has(7_001))
            assert (
                postgres.sql("readings", "SELECT number FROM ev_readings WHERE charger = 'meter-1'") == "7001"
            )
            assert not (wanted.data / "telemetry.db").exists()
            assert "postgresql" not in (wanted.data / "run.json").read_text()

            postgres.kill()
            await meter.publish(TOPIC, reading(7_002), qos=1)

            async def is_away() -> bool:
                return await told() == 503

            await eventually(is_away)
            assert (await api.get("/v1/site")).status_code == 200
            postgres.start()
            await eventually(lambda: has(7_002))


async def test_a_database_that_is_not_there_is_said_before_anything_is_started(tmp_path: Path) -> None:
    url = f"postgresql://evmesh@127.0.0.1:{free_port()}/readings"
    with pytest.raises(EvmeshError, match=r"telemetry\.store_away"):
        async with running(options(tmp_path, url), lambda _: None):
            pass
    assert not list((tmp_path / "data").glob("*.pid"))
