"""Simulated time slows down while work lags and recovers by itself; it never stops and never jumps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evmesh.app.clock import ClockMaster
from evmesh.app.pacer import Pacer, Waiting
from tests.fakes.world import running

DAWN = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
SPEED = 64


class Lag:
    """How long the oldest work waits, and whether all stations are there, as a test says."""

    def __init__(self) -> None:
        self.waits_s = 0.0
        self.complete = True


@pytest.fixture
def clock(tmp_path: Path) -> ClockMaster:
    return ClockMaster.start(tmp_path / "clock", DAWN, 1_000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evmesh.app.pacer._LOOK_S", 0.002)
    monkeypatch.setattr("evmesh.app.pacer._LATE_LOOP_S", 60)  # a busy machine is not what is tested here


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def paced(clock: ClockMaster, lag: Lag) -> AsyncIterator[None]:
    async with running(Pacer(clock, SPEED, lambda: lag.waits_s, lambda: lag.complete)):
        yield


async def test_time_gathers_speed_and_goes_no_faster_than_it_was_told(clock: ClockMaster) -> None:
    rates = []
    async with paced(clock, Lag()):
        while clock.rate_permille < SPEED * 1000:
            rates.append(clock.rate_permille)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
    assert rates == sorted(rates)
    assert len(set(rates)) > 5
    assert clock.rate_permille == SPEED * 1000


async def test_time_slows_to_real_time_while_work_waits_and_recovers(clock: ClockMaster) -> None:
    lag = Lag()
    async with paced(clock, lag):
        await until(lambda: clock.rate_permille == SPEED * 1000)
        lag.waits_s = 5
        await until(lambda: clock.rate_permille == 1_000)
        await asyncio.sleep(0.02)
        assert clock.rate_permille == 1_000  # never slower than real time
        lag.waits_s = 0
        await until(lambda: clock.rate_permille == SPEED * 1000)


async def test_work_that_has_only_just_come_slows_nothing(clock: ClockMaster) -> None:
    lag = Lag()
    lag.waits_s = 0.3
    async with paced(clock, lag):
        await until(lambda: clock.rate_permille == SPEED * 1000)


async def test_a_late_event_loop_is_lag_too(clock: ClockMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    async with paced(clock, Lag()):
        await until(lambda: clock.rate_permille == SPEED * 1000)
        monkeypatch.setattr("evmesh.app.pacer._LATE_LOOP_S", -1)
        await until(lambda: clock.rate_permille == 1_000)


async def test_time_is_real_while_a_station_is_waited_for_and_not_for_ever(
    clock: ClockMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.app.pacer._COMPLETE_WITHIN_S", 60)  # a busy machine may take a while to look
    lag = Lag()
    lag.complete = False
    async with paced(clock, lag):
        await asyncio.sleep(0.05)
        assert clock.rate_permille == 1_000
        monkeypatch.setattr("evmesh.app.pacer._COMPLETE_WITHIN_S", 0.2)
        await until(lambda: clock.rate_permille == SPEED * 1000)


async def test_a_station_that_goes_away_is_waited_for(clock: ClockMaster) -> None:
    lag = Lag()
    async with paced(clock, lag):
        await until(lambda: clock.rate_permille == SPEED * 1000)
        lag.complete = False
        await until(lambda: clock.rate_permille == 1_000)
        lag.complete = True
        await until(lambda: clock.rate_permille == SPEED * 1000)


async def test_the_oldest_work_in_hand_is_what_counts() -> None:
    waiting = Waiting()
    assert waiting.oldest_s == 0
    with waiting.one():
        await asyncio.sleep(0.02)
        with waiting.one():
            assert waiting.oldest_s >= 0.02
        assert waiting.oldest_s >= 0.02
    assert waiting.oldest_s == 0


async def test_work_that_fails_is_no_longer_in_hand() -> None:
    waiting = Waiting()
    with pytest.raises(ZeroDivisionError), waiting.one():
        _ = 1 // 0
    assert waiting.oldest_s == 0
