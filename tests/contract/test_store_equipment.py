"""Metered quarter-hours of equipment, on the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from evmesh.domain.equipment import MeteredStep
from evmesh.domain.units import Wh
from evmesh.store.database import Database

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=15)


def step(name: str, number: int, wh: int) -> MeteredStep:
    return MeteredStep(name, NOON + number * STEP, Wh(wh))


async def test_quarter_hours_come_back_in_order_and_the_same_one_gives_way(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'state.db'}")
    await database.migrate()
    async with database.begin() as unit:
        for one in (step("roof", 1, 500), step("hall", 1, -20), step("roof", 0, 400), step("roof", 1, 510)):
            await unit.save_step(one)
        kept = [step("roof", 0, 400), step("hall", 1, -20), step("roof", 1, 510)]
        assert list(await unit.steps(NOON)) == kept
        assert list(await unit.steps(NOON + STEP)) == kept[1:]
        assert unit.has_written
    await database.close()
