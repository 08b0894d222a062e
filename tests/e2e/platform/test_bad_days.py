"""What a person at the command line or the API meets on a bad day: a clear error, and nothing lost."""

import json
import signal
import socket
import subprocess
import sys
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

            async def serves() -> bool:
                return (await api.get("/v1/site")).status_code == 200

            await world.until(serves, "the chain is back", 60)
            codes = json.loads((world.data / "codes.json").read_text())
            station = await api.get(f"/v1/stations/{next(iter(codes.values()))}")
            assert station.status_code == 200
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
