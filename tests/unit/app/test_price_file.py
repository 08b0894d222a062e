"""Prices that change while the platform runs are taken over; a file that is wrong changes nothing."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evmesh.app.price_file import PriceFile
from tests.fakes.world import eventually, running

NOON = datetime(2026, 6, 1, 10, tzinfo=UTC)


def write(path: Path, first: str) -> Path:
    hours = [f"2026-06-01T{hour:02}:00:00,{first}" for hour in range(24)]
    path.write_text("\n".join(["hour,price", *hours]))
    return path


def test_other_prices_are_read_once_and_wrong_ones_not_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "prices.csv", "10.5")
    prices = PriceFile(path, ZoneInfo("Europe/Amsterdam"), lambda: None)
    assert prices.price_at(NOON) == 10_500
    assert not prices.look()
    write(path, "-200.25")
    assert prices.look()
    assert not prices.look()
    assert prices.price_at(NOON) == -200_250
    path.write_text("hour,price\nnever,nothing")
    assert not prices.look()
    path.unlink()
    assert not prices.look()
    assert prices.price_at(NOON) == -200_250


async def test_who_plans_is_woken_when_prices_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evmesh.app.price_file._LOOKS_EVERY_S", 0.02)
    path, woken = write(tmp_path / "prices.csv", "10.5"), asyncio.Event()
    prices = PriceFile(path, ZoneInfo("Europe/Amsterdam"), woken.set)

    async def is_woken() -> bool:
        return woken.is_set()

    async with running(prices):
        write(path, "99.125")
        await eventually(is_woken)
    assert prices.price_at(NOON) == 99_125
