"""A process is known again by its id and its start, and ended with patience."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evmesh.ledger import child_process
from evmesh.ledger.child_process import ChildRecord, start_mark


@pytest.fixture(params=["/proc", "ps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both ways to ask: Linux's own, and that of systems without it."""
    if request.param == "ps":
        monkeypatch.setattr(child_process, "_PROC", tmp_path)


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("way")
async def test_a_child_is_known_again_until_it_ends(child: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    path = tmp_path / "child.pid"
    ChildRecord(child.pid, start_mark(child.pid) or "", 4711).save(path)
    record = ChildRecord.load(path)
    assert record is not None
    assert record.port == 4711
    assert record.is_alive()
    await record.end()
    assert not record.is_alive()  # a zombie until its parent looks, and that counts as ended
    assert child.wait() == -signal.SIGTERM


@pytest.mark.usefixtures("way")
async def test_another_process_with_the_same_id_is_not_ended(child: "subprocess.Popen[bytes]") -> None:
    record = ChildRecord(child.pid, "another start", 0)
    assert not record.is_alive()
    await record.end()
    assert child.poll() is None


async def test_one_that_does_not_listen_is_made_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_ENDS_WITHIN_S", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        await ChildRecord(process.pid, start_mark(process.pid) or "", 0).end()
        assert process.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("way")
def test_this_process_has_a_mark_and_one_that_never_was_has_none() -> None:
    assert start_mark(os.getpid()) == start_mark(os.getpid()) is not None
    assert start_mark(2**22 + 1) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": "", "port": 1}'])
def test_a_pid_file_that_a_crash_cut_short_is_no_record(tmp_path: Path, text: str) -> None:
    assert ChildRecord.load(tmp_path / "child.pid") is None
    (tmp_path / "child.pid").write_text(text)
    assert ChildRecord.load(tmp_path / "child.pid") is None
