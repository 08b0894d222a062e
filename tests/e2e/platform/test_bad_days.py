"""What a person at the command line or the API meets on a bad day: a clear error, and nothing lost."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from evmesh.app.run_file import RunFile
from evmesh.ledger.child_process import ChildRecord
from tests.e2e.kill import site_files
from tests.e2e.kill.world import World

pytestmark = pytest.mark.timeout(180)
EVMESH = [sys.executable, "-m", "evmesh.app.main"]


def test_a_port_in_use_is_said_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*EVMESH, "up", "--data", str(tmp_path), "--port", port, "--ocpp-port", "0"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 3
    assert "error port.in_use" in ran.stderr
    assert "--port" in ran.stderr
    assert not (tmp_path / "run.json").exists()


def test_a_site_file_that_is_wrong_is_refused_with_the_path_of_its_mistake(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('name = "x"\ntime_zone = "Europe/Amsterdam"\nprices = "prices.csv"\n')
    command = [*EVMESH, "up", "--site", str(site), "--data", str(tmp_path / "data"), "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "site.bad_entry" in ran.stderr
    assert "start" in ran.stderr


async def test_a_chain_that_is_away_is_said_and_comes_back(tmp_path: Path) -> None:
    site_files.write_site(tmp_path / "site")
    world = World(tmp_path / "data", tmp_path / "site")
    await world.start()
    try:
        run = RunFile.load(world.data)
        async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api:
            assert (await api.get("/v1/site")).status_code == 200
            anvil = ChildRecord.load(world.data / "chain" / "anvil.pid")
            assert anvil is not None
            with world.frozen("chain"):
                second = subprocess.run(
                    [*EVMESH, "up", "--data", str(world.data), "--port", "0"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
            assert second.returncode == 3
            assert "platform.already_running" in second.stderr

            await world.kill("chain")
            answers = [(await api.get("/v1/site")).status_code for _ in range(3)]
            assert set(answers) <= {200, 503}

            codes = json.loads((world.data / "codes.json").read_text())
            paths = ("/v1/site", f"/v1/stations/{next(iter(codes.values()))}")

            async def serves() -> bool:
                return {(await api.get(path)).status_code for path in paths} == {200}

            await world.running("chain")
            await world.until(serves, "the chain is back", 60)
    finally:
        world.stop()
    assert not (world.data / "run.json").exists()
    assert all(not record.is_alive() for record in world.children())


async def test_the_supervisor_ends_its_children_when_it_is_told_to(tmp_path: Path) -> None:
    site_files.write_site(tmp_path / "site")
    world = World(tmp_path / "data", tmp_path / "site")
    await world.start()
    children = world.children()
    assert len(children) == 4
    assert world._supervisor is not None
    world._supervisor.send_signal(signal.SIGINT)
    assert world._supervisor.wait(60) == 0
    assert all(not record.is_alive() for record in children)


def up(data: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [*EVMESH, "up", "--data", str(data), "--port", "0", "--ocpp-port", "0", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("prices.csv", "hour,price\n2026-06-01T00:00,cheap\n", "site.bad_prices"),
        ("sessions.csv", "driver\n", "sessions.missing_column"),
    ],
)
def test_a_file_that_only_a_child_would_read_is_refused_before_any_is_started(
    tmp_path: Path, name: str, content: str, code: str
) -> None:
    site = site_files.write_site(tmp_path / "site")
    (tmp_path / "site" / name).write_text(content)
    ran = up(tmp_path / "data", "--site", str(site))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"error {code}: " in ran.stderr
    assert not (tmp_path / "data").exists()


def test_a_data_directory_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    state.write_bytes(b"my diary" * 100)
    ran = up(tmp_path)
    assert ran.returncode == 6
    assert f"error store.damaged: {state} is damaged" in ran.stderr
    assert state.read_bytes() == b"my diary" * 100

    state.unlink()
    with closing(sqlite3.connect(state)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    before = state.read_bytes()
    ran = up(tmp_path)
    assert ran.returncode == 3
    assert "error store.newer_release: the data directory was written by a newer evmesh" in ran.stderr
    assert "Traceback" not in ran.stderr
    with closing(sqlite3.connect(state)) as database:
        assert database.execute("SELECT * FROM alembic_version").fetchall() == [("9999",)]
    assert before[:16] == state.read_bytes()[:16]


def test_a_child_that_cannot_work_ends_the_platform_with_its_code_and_its_words(tmp_path: Path) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "wallets").write_text("in the way")
    ran = up(tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error sim.ended: sim ended by itself (exit code 2); it said:\n")
    assert "error file.unusable" in ran.stderr
    assert f"do: see {tmp_path / 'logs' / 'sim.log'}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.glob("*.pid"))
    assert not (tmp_path / "run.json").exists()


def test_ctrl_c_says_where_the_state_is_and_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    command = [*EVMESH, "up", "--data", str(tmp_path), "--port", "0", "--ocpp-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any("Ctrl-C ends it" in line for line in iter(running.stdout.readline, ""))
        running.send_signal(signal.SIGINT)
        said, complaint = running.communicate(timeout=60)
    assert (running.returncode, said, complaint) == (0, f"stopped; state kept in {tmp_path}\n", "")

    shell = f"{' '.join(command)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=90, check=False)
    assert (ended.returncode, ended.stderr) == (141, "")
    assert ended.stdout.count("\n") == 1
    assert not (tmp_path / "run.json").exists()
    assert not list(tmp_path.glob("**/*.pid"))
