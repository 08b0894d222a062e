"""Platform time goes on where the newest record is, whoever wrote it: nothing that is stored lies ahead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.app.config import load_site
from evmesh.app.up import _resume_at
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import ConnectorStatus
from evmesh.sim.evse import EvseRecord
from evmesh.sim.state import SimState
from evmesh.store.database import Database

SITE = load_site(Path(__file__).parents[3] / "examples" / "demo.toml")
START = SITE.start.astimezone(UTC)
HOUR = timedelta(hours=1)


async def platform_wrote(data: Path, at: datetime) -> None:
    database = Database(f"sqlite+aiosqlite:///{data / 'state.db'}")
    await database.migrate()
    async with database.begin() as unit:
        await unit.set_status(ConnectorRef(StationId("CP-1"), 1), ConnectorStatus.AVAILABLE, "NoError", at)
    await database.close()


def hardware_wrote(data: Path, at: datetime) -> None:
    state = SimState(data / "sim" / "sim.db")
    state.save_evse(StationId("CP-1"), 1, EvseRecord(at))
    state.save_evse(StationId("CP-1"), 2, EvseRecord(at - HOUR))
    state.close()


async def test_a_fresh_directory_begins_when_the_site_says(tmp_path: Path) -> None:
    assert await _resume_at(SITE, tmp_path) == START


@pytest.mark.parametrize(("platform", "hardware"), [(3, 2), (2, 3), (3, 3)])
async def test_time_goes_on_at_the_later_of_platform_and_hardware(
    tmp_path: Path, platform: int, hardware: int
) -> None:
    await platform_wrote(tmp_path, START + platform * HOUR)
    hardware_wrote(tmp_path, START + hardware * HOUR)
    assert await _resume_at(SITE, tmp_path) == START + 3 * HOUR


async def test_a_drivers_visit_is_not_in_the_future_either(tmp_path: Path) -> None:
    state = SimState(tmp_path / "sim" / "sim.db")
    state.save_visit("driver@later", START + HOUR, "{}", ended=False)
    state.close()
    assert await _resume_at(SITE, tmp_path) == START + HOUR


async def test_a_directory_without_hardware_or_records_is_no_obstacle(tmp_path: Path) -> None:
    SimState(tmp_path / "sim" / "sim.db").close()
    assert await _resume_at(SITE, tmp_path) == START
    await platform_wrote(tmp_path, START + 2 * HOUR)
    assert await _resume_at(SITE, tmp_path) == START + 2 * HOUR
