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
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Refused, Unavailable
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
async def test_a_child_that_ends_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evmesh.app.children._TRIES", 1_000)
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


ENDING = "import sys; print('what it', 'said last', file=sys.stderr, flush=True); sys.exit(int(sys.argv[1]))"


def ending(data: Path, status: int) -> Child:
    return Child("worker", [sys.executable, "-c", ENDING, str(status)], data)


async def nothing() -> None:
    """Nothing has to be waited for."""


@pytest.mark.parametrize("failure", [InvalidInput, IntegrityFailure])
async def test_a_child_that_found_wrong_input_is_not_started_again(
    tmp_path: Path, failure: type[EvmeshError]
) -> None:
    one = ending(tmp_path, failure.exit_code)
    with pytest.raises(failure) as ended:
        async with asyncio.timeout(20):
            await one.keep(nothing, lambda: None)
    assert one.restarts == 1
    assert ended.value.code == "worker.ended"
    assert "what it said last" in ended.value.what
    assert str(tmp_path / "logs" / "worker.log") in ended.value.do


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("status", "failure"),
    [(0, Unavailable), (1, Unavailable), (3, Refused), (4, Unavailable), (77, Unavailable)],
)
async def test_a_child_that_never_stays_up_is_given_up_after_three_tries(
    tmp_path: Path, status: int, failure: type[EvmeshError]
) -> None:
    one = ending(tmp_path, status)
    with pytest.raises(failure) as ended:
        async with asyncio.timeout(20):
            await one.keep(nothing, lambda: None)
    assert one.restarts == 3
    assert ended.value.what.count("what it said last") == 1  # of the last try, not of all
    assert f"exit code {status}" in ended.value.what


@pytest.mark.usefixtures("quick")
async def test_a_child_that_stayed_up_once_is_reported_and_tried_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ending(tmp_path, 1)
    monkeypatch.setattr(one, "_was_steady", True)
    said: list[str] = []
    keeping = asyncio.create_task(one.keep(nothing, lambda: None, said.append))
    await until(lambda: one.restarts >= 5)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    [report] = said
    assert "worker ended by itself" in report
    assert "what it said last" in report


@pytest.mark.usefixtures("quick")
async def test_a_child_that_others_kill_is_never_given_up(tmp_path: Path) -> None:
    killing = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    one = Child("worker", [sys.executable, "-c", killing], tmp_path)
    keeping = asyncio.create_task(one.keep(nothing, lambda: None))
    await until(lambda: one.restarts >= 5)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_a_pid_file_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "worker.pid"
    records = [ChildRecord(number, "x" * number, number) for number in range(1, 400)]
    records[0].save(path)
    found: list[ChildRecord | None] = []

    def read() -> None:
        while found[-1:] != [records[-1]]:
            found.append(ChildRecord.load(path))

    reading = asyncio.create_task(asyncio.to_thread(read))
    for record in records:
        await asyncio.to_thread(record.save, path)
    await reading
    assert None not in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 3000,
        '{"pid":1e999,"started":"","port":0}',
        '{"pid":-1,"started":"","port":0}',
        '{"pid":0,"started":"","port":0}',
        '{"pid":[],"started":"","port":0}',
        '{"pid":7,"started":"","port":70000}',
    ],
)
def test_a_pid_file_that_is_none_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "worker.pid").write_text(text)
    assert ChildRecord.load(tmp_path / "worker.pid") is None
