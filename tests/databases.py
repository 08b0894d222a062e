"""A real PostgreSQL for tests: one cluster a session, a fresh database a test; it can be killed."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.chain import free_port

DEBIAN = Path("/usr/lib/postgresql")


@dataclass
class Postgres:
    """One cluster in a directory of its own."""

    bin: Path
    data: Path
    port: int

    def url(self, database: str) -> str:
        return f"postgresql://evmesh@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        # No socket in a directory: a killed server leaves its lock there.
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        settings = "-c shared_buffers=32MB -c max_connections=30"
        log = str(self.data.parent / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", f"{options} {settings}", "start")

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """kill -9 of all its processes; returns when they have gone."""
        pid = self.pid
        children = [child for child in _pids() if _parent(child) == pid]
        for one in (pid, *children):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_parent(one) for one in (pid, *children)) and time.monotonic() < deadline:
            time.sleep(0.02)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def create(self, database: str) -> str:
        self.sql("postgres", f'CREATE DATABASE "{database}" TEMPLATE template0')
        return self.url(database)

    def drop(self, database: str) -> None:
        self.sql("postgres", f'DROP DATABASE "{database}" WITH (FORCE)')

    def sql(self, database: str, statement: str) -> str:
        argv = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement)
        return self._run("psql", *argv).strip()

    def _run(self, program: str, *args: str) -> str:
        return run_as_nobody(str(self.bin / program), *args)


def run_as_nobody(*argv: str) -> str:
    """PostgreSQL does not run as root."""
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    done = subprocess.run(
        argv,
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd="/",
    )
    return done.stdout


def _pids() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]


def _parent(pid: int) -> int:
    """0 for one that is gone, or dead and not yet buried."""
    with suppress(OSError, ValueError, IndexError):
        state, parent = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
        return 0 if state == "Z" else int(parent)
    return 0


def find_postgres() -> Path | None:
    """The newest PostgreSQL of this machine."""
    debian = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).parent


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run one; skips where this machine has none, and fails where nothing may be skipped."""
    programs = find_postgres()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed, and in CI nothing is skipped")
        pytest.skip("PostgreSQL is not installed: scripts/debian-packages.sh installs it")
    directory = Path(tempfile.mkdtemp(prefix="evmesh-pg-"))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(directory, account.pw_uid, account.pw_gid)
        data = directory / "data"
        initdb = str(programs / "initdb")
        run_as_nobody(
            initdb, "-D", str(data), "-U", "evmesh", "-A", "trust", "--locale=C", "-E", "UTF8", "-N"
        )
        cluster = Postgres(programs, data, free_port())
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
