"""A real TimescaleDB for the long tests: its extension in a PostgreSQL made of WebAssembly, run by Node.

No registry of packages has TimescaleDB for a PostgreSQL of Debian. npm has a build of PGlite with it, by one
person, so it is not among the dependencies of evmesh: it is fetched, as locked in tests/timescale, when the
long tests ask for it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "timescale"
ROOT = Path(__file__).parents[1]


def installed(directory: Path) -> Path:
    """Fetch the server into a directory; gives its script."""
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(HERE / name, directory)
    argv = (
        str(ROOT / "scripts" / "with-node.sh"),
        "npm",
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    )
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"npm cannot fetch a TimescaleDB: {done.stderr[-2000:]}")
    return directory / "server.mjs"


@contextmanager
def running_timescale(script: Path) -> Iterator[str]:
    """Run one, empty; gives its URL."""
    argv = (str(ROOT / "scripts" / "with-node.sh"), "node", str(script))
    with subprocess.Popen(
        argv, cwd=script.parent, stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_OPTIONS": ""}
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdecimal(), "the server did not start"
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
        finally:
            process.kill()
