"""Platform time: one for all processes, as fast as it is told, and never going back."""

import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.app.clock import ClockMaster, SharedClock, WallClock
from tests.drivers.clock_reader import ROUNDS

DAWN = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
SECOND_NS = 1_000_000_000


class Machine:
    """The machine's monotonic clock, in a test's hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ns = 5 * SECOND_NS
        patch.setattr("evmesh.app.clock.time.monotonic_ns", lambda: self.ns)

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * SECOND_NS)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clock"


def test_time_runs_from_where_it_is_started_as_fast_as_it_is_told(path: Path, machine: Machine) -> None:
    clock = ClockMaster.start(path, DAWN, 60_000)
    assert clock.now() == DAWN
    assert clock.now().tzinfo is UTC
    machine.pass_s(2.5)
    assert clock.now() == DAWN + timedelta(seconds=150)
    assert clock.monotonic() == pytest.approx(clock.now().timestamp())


def test_another_speed_moves_no_instant(path: Path, machine: Machine) -> None:
    clock = ClockMaster.start(path, DAWN, 60_000)
    machine.pass_s(1)
    before = clock.now()
    clock.set_rate(1_000)
    assert (clock.now(), clock.rate_permille) == (before, 1_000)
    machine.pass_s(1)
    assert clock.now() == before + timedelta(seconds=1)


def test_every_process_reads_the_same_time(path: Path, machine: Machine) -> None:
    master = ClockMaster.start(path, DAWN, 240_000)
    reader = SharedClock(path)
    for rate in (1_000, 240_000, 7_500):
        machine.pass_s(0.3)
        master.set_rate(rate)
        machine.pass_s(0.2)
        assert reader.now() == master.now()
        assert reader.rate_permille == rate


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1_000, 1_000_000)), max_size=20))
def test_time_never_goes_back_over_changes_of_speed(changes: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        machine = Machine(patch)
        master = ClockMaster.start(Path(directory) / "clock", DAWN, 1_000)
        fresh, last = SharedClock(Path(directory) / "clock"), DAWN
        for passed_ns, rate in changes:
            machine.ns += passed_ns
            now = fresh.now()
            assert now >= last
            master.set_rate(rate)
            last = max(now, SharedClock(Path(directory) / "clock").now())
            assert fresh.now() >= now


def test_who_looks_while_the_speed_is_changed_does_not_see_time_go_back(
    path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = ClockMaster.start(path, DAWN, 240_000)
    machine.pass_s(1)
    seen: list[datetime] = []
    looking = False

    def slow_machine() -> int:
        """Let ten milliseconds pass at each look, as for a process that is put aside; another reads then."""
        nonlocal looking
        machine.ns += SECOND_NS // 100
        if not looking:
            looking = True
            seen.append(SharedClock(path).now())
            looking = False
        return machine.ns

    monkeypatch.setattr("evmesh.app.clock.time.monotonic_ns", slow_machine)
    master.set_rate(1_000)
    seen.append(SharedClock(path).now())
    # 10 ms at 240 times real time are 2.4 s; what the old speed gave may at most be caught up with
    assert seen == sorted(seen)


def test_a_restart_goes_on_from_where_time_was(path: Path, machine: Machine) -> None:
    first = ClockMaster.start(path, DAWN, 60_000)
    machine.pass_s(10)
    stopped_at = first.now()
    again = ClockMaster.start(path, stopped_at, 1_000)
    assert again.now() == stopped_at
    assert ClockMaster(path).now() == stopped_at


def test_time_advances_to_a_later_record_and_never_to_an_earlier_one(path: Path, machine: Machine) -> None:
    clock = ClockMaster.start(path, DAWN, 1_000)
    clock.advance_to(DAWN + timedelta(hours=1))
    assert clock.now() == DAWN + timedelta(hours=1)
    clock.advance_to(DAWN)
    assert clock.now() == DAWN + timedelta(hours=1)


async def test_sleepers_wake_on_time_also_when_the_speed_changes(path: Path) -> None:
    clock = ClockMaster.start(path, DAWN, 1_000)
    wanted = DAWN + timedelta(minutes=5)
    sleeper = asyncio.create_task(clock.sleep_until(wanted))
    await asyncio.sleep(0.01)
    assert not sleeper.done()
    clock.set_rate(3_600_000)
    async with asyncio.timeout(5):
        await sleeper
    assert clock.now() >= wanted
    await clock.sleep_until(DAWN)  # has passed


def test_two_processes_hand_each_other_times_that_never_go_back(path: Path) -> None:
    master = ClockMaster.start(path, DAWN, 240_000)
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.clock_reader", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(2)
    ]
    try:
        last = 0
        for number in range(ROUNDS):
            master.set_rate((240_000, 1_000, 60_000)[number % 3])
            for reader in readers:
                assert reader.stdin is not None
                assert reader.stdout is not None
                reader.stdin.write("\n")
                reader.stdin.flush()
                now = int(reader.stdout.readline())
                assert now >= last
                last = now
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


async def test_the_wall_clock_stands_still_when_the_machine_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Machine(datetime):
        said = DAWN

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return cls.said

    monkeypatch.setattr("evmesh.app.clock.datetime", Machine)
    clock = WallClock()
    assert clock.now() == DAWN
    Machine.said = DAWN - timedelta(hours=1)
    assert clock.now() == DAWN
    Machine.said = DAWN + timedelta(seconds=1)
    assert clock.now() == DAWN + timedelta(seconds=1)
    await clock.sleep_until(DAWN)
    assert clock.monotonic() <= time.monotonic()
