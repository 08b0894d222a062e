"""What `pip install` of our wheel gives: the command, the example sites, and words about what is missing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ANVIL = ROOT / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin"


def run(*command: object, path: str = "/usr/bin:/bin", cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"HOME": str(cwd), "PATH": path}
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, env=environment, cwd=cwd, check=False)


@pytest.mark.soak
def test_the_wheel_runs_the_demo_away_from_the_clone(tmp_path: Path) -> None:
    uv = next((str(one) for one in ROOT.glob(".tools/uv-*/uv")), shutil.which("uv"))
    assert uv is not None, "make setup brings uv"
    environment = os.environ | {"VIRTUAL_ENV": str(tmp_path / "venv")}
    for command in (
        ["build", "--wheel", "--out-dir", str(tmp_path), str(ROOT)],
        ["venv", str(tmp_path / "venv")],
        ["pip", "install", str(tmp_path / "evmesh-0.1.0-py3-none-any.whl")],
    ):
        subprocess.run([uv, *command], env=environment, check=True, capture_output=True)
    evmesh, home = tmp_path / "venv" / "bin" / "evmesh", tmp_path / "home"
    home.mkdir()

    assert run(evmesh, "--version", cwd=home).stdout.startswith("evmesh ")
    assert "demo" in run(evmesh, "--help", cwd=home).stdout
    without = run(evmesh, "demo", cwd=home)
    assert without.returncode == 4
    assert "error chain.no_anvil: anvil is not installed\ndo: " in without.stderr
    shown = run(evmesh, "demo", "--json", path=f"{ANVIL}:/usr/bin:/bin:/usr/sbin", cwd=home)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["ok"] is True
