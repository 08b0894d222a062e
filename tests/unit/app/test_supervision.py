"""Services are started again where what they need is away; children where they died."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evmesh.app.children import Child
from evmesh.app.services import run_all, supervise
from evmesh.domain.errors import Refused, Unavailable
from evmesh.ledger.child_process import ChildRecord, start_mark


class Flaky:
    """A service that fails as often as it is told, and then runs."""

    name = "flaky"

    def __init__(self, failures: list[BaseException]) -> None:
        self.failures = failures
        self.starts = 0
        self.running = asyncio.Event()

    async def run(self) -> None:
        self.starts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.running.set()
        await asyncio.Event().wait()


def away() -> Unavailable:
    return Unavailable("broker.away", "no broker")


async def test_a_service_is_started_again_when_what_it_needs_is_back() -> None:
    service = Flaky([away(), BaseExceptionGroup("in a task", [away()]), away()])
    task = asyncio.create_task(supervise(service, first_delay_s=0.001, max_delay_s=0.01))
    async with asyncio.timeout(5):
        await service.running.wait()
    assert service.starts == 4
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("error", [Refused("port.in_use", "taken"), ZeroDivisionError()])
async def test_anything_else_stops_all_services_loudly(error: Exception) -> None:
    healthy, broken = Flaky([]), Flaky([error])
    with pytest.raises(BaseExceptionGroup) as stopped:
        await run_all((healthy, broken))
    assert stopped.group_contains(type(error))
    assert broken.starts == 1


PROGRAM = "import sys, time; print('started', flush=True); time.sleep(float(sys.argv[1])); sys.exit(3)"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evmesh.app.children._FIRST_DELAY_S", 0.01)


def child(data: Path, lives_s: float) -> Child:
    return Child("worker", [sys.executable, "-c", PROGRAM, str(lives_s)], data)


@asynccontextmanager
async def kept(child: Child) -> AsyncIterator[list[str]]:
    told: list[str] = []

    async def started() -> None:
        told.append("start")

    task = asyncio.create_task(child.keep(started, lambda: told.append("death")))
    try:
        yield told
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    return start_mark(pid) is not None


async def pid_of(data: Path) -> int:
    found: list[ChildRecord] = []

    def is_there() -> bool:
        record = ChildRecord.load(data / "worker.pid")
        found[:] = [record] if record is not None and record.is_alive() else []
        return bool(found)

    await until(is_there)
    return found[0].pid


@pytest.mark.usefixtures("quick")
async def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    one = child(tmp_path, 0)
    async with kept(one) as told:
        await until(lambda: one.restarts >= 2)
    assert told[:4] == ["start", "death", "start", "death"]
    assert (tmp_path / "logs" / "worker.log").read_text().count("started") >= 2
    assert not (tmp_path / "worker.pid").exists()


@pytest.mark.usefixtures("quick")
async def test_a_child_that_is_killed_is_there_again_with_another_pid(tmp_path: Path) -> None:
    one = child(tmp_path, 60)
    async with kept(one):
        first = await pid_of(tmp_path)
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.restarts == 1)
        second = await pid_of(tmp_path)
        assert second != first
    await until(lambda: not is_alive(second))


async def test_a_child_ends_with_its_supervisor(tmp_path: Path) -> None:
    async with kept(child(tmp_path, 60)):
        pid = await pid_of(tmp_path)
    assert not is_alive(pid)


async def test_what_a_killed_supervisor_left_behind_is_ended(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, "60")
    ChildRecord(process.pid, start_mark(process.pid) or "", 0).save(tmp_path / "worker.pid")
    one = child(tmp_path, 60)
    ending = asyncio.create_task(one.end_leftover())
    async with asyncio.timeout(20):
        assert await process.wait() != 0
        await ending


async def test_a_process_that_only_has_the_pid_of_a_leftover_is_left_alone(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, "60")
    try:
        ChildRecord(process.pid, "another start", 0).save(tmp_path / "worker.pid")
        await child(tmp_path, 60).end_leftover()
        assert process.returncode is None
        assert is_alive(process.pid)
    finally:
        process.kill()
        await process.wait()
