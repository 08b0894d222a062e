"""One run of `evmesh demo`, for every test that looks at what it left behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEMO_WITHIN_S = 280
CHAIN_WITHIN_S = 60


@dataclass(frozen=True)
class DemoRun:
    """What one run said, and where its files are."""

    exit_code: int
    answer: dict[str, Any]
    out: Path
    data: Path

    def read(self, name: str) -> bytes:
        """Give a file that the demo wrote."""
        return (self.out / name).read_bytes()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "evmesh.app.main", "demo", "--json", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_WITHIN_S, check=False)
    assert ran.stdout, ran.stderr[-4000:]
    answer = json.loads(ran.stdout)
    return DemoRun(ran.returncode, answer, out, Path(answer["data"]))


@contextmanager
def chain_of(data: Path) -> Iterator[str]:
    """Run the demo's chain again from its dump; give the node's URL."""
    command = [sys.executable, "-m", "evmesh.app.main", "chain", "run", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "http://" in line:
                    yield "http://" + line.split("http://")[1].split()[0].rstrip(".,;")
                    break
        finally:
            process.terminate()
            process.wait(CHAIN_WITHIN_S)


@pytest.fixture(scope="session")
def node(demo: DemoRun) -> Iterator[str]:
    with chain_of(demo.data) as url:
        yield url
