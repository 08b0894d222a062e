"""`evmesh chain` as a person uses it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EVMESH_")}


def chain(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from evmesh.app.chain import app; app()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)


@contextmanager
def running_chain(data: Path) -> Iterator["subprocess.Popen[str]"]:
    program = "from evmesh.app.chain import app; app()"
    command = [sys.executable, "-u", "-c", program, "run", "--data", str(data), "--chain-id", "4711"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def status(data: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chain("status", "--data", str(data), "--json", *more).stdout)
    return found


def test_a_chain_is_run_looked_at_and_stopped(tmp_path: Path) -> None:
    with running_chain(tmp_path) as process:
        found = status(tmp_path)
        assert (found["ok"], found["deployed"], found["chain_id"], found["assets"]) == (True, True, 4711, 0)
        contracts = {"registry", "charge_tab", "notary", "token", "status", "flex", "flex_tab", "board"}
        assert set(found["contracts"]) == contracts
        assert (found["network"], found["confirmations"]) == ("unnamed", 1)
        words = chain("status", "--data", str(tmp_path)).stdout
        assert found["contracts"]["charge_tab"] in words
        assert "unnamed, confirmations 1" in words

        again = chain("run", "--data", str(tmp_path))
        assert again.returncode == 3
        assert "chain.already_running" in again.stderr
        other = chain("deploy", "--rpc", found["rpc"], "--data", str(tmp_path), "--network", "iota-evm")
        assert (other.returncode, "chain.other_network" in other.stderr) == (3, True)
        repeated = chain("deploy", "--rpc", found["rpc"], "--data", str(tmp_path), "--json")
        assert json.loads(repeated.stdout)["contracts"] == found["contracts"]
    assert process.returncode == 0
    stopped = chain("status", "--data", str(tmp_path), "--json")
    assert stopped.returncode == 4
    assert json.loads(stopped.stdout)["code"] == "chain.not_running"


def test_it_goes_on_after_a_kill_9(tmp_path: Path) -> None:
    with running_chain(tmp_path) as process:
        before = status(tmp_path)
        process.kill()
        process.wait()
    with running_chain(tmp_path):
        after = status(tmp_path)
    assert after["contracts"] == before["contracts"]
    assert after["deployed"]
    assert after["block"] >= before["block"]


def test_a_directory_without_contracts_and_a_node_that_is_away_are_said(tmp_path: Path) -> None:
    started = time.monotonic()
    nothing = chain("status", "--data", str(tmp_path))
    assert nothing.returncode == 4
    assert "evmesh chain run" in nothing.stderr
    away = chain("deploy", "--rpc", "http://127.0.0.1:9", "--data", str(tmp_path), "--json")
    assert away.returncode == 4
    assert json.loads(away.stdout)["code"] == "chain.away"
    assert time.monotonic() - started < 30
