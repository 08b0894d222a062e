"""A newcomer follows README's first charge on the simulated site, command by command, as typed there."""

import asyncio
import os
import pty
import re
import shlex
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evmesh.app.sim_door import order
from evmesh.app.up import UpOptions, running
from tests.e2e.platform.sites import one_connector, write_site

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse"
ANSWERS = {"Password of the wallet": PASSWORD, "Repeat for confirmation": PASSWORD, "Sign and pay?": "y"}
"""What the newcomer types where a command asks."""

PATIENCE_S = 90

SITE = one_connector(
    "A place to try",
    "TRY-1",
    "evmesh",
    "Simulated AC 7.4",
    at="TRY",
    zone="Asia/Tokyo",
    start="2026-06-01T08:00:00+09:00",
)


def walk_of_the_readme() -> list[list[str]]:
    """Give the words of each command of README's block that begins with a new wallet."""
    blocks = re.findall(r"(?:^    .+\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    [block] = [one for one in blocks if "evmesh wallet new" in one]
    return [shlex.split(line) for line in block.splitlines()]


class Newcomer:
    """Types commands at a terminal, in a home of their own."""

    def __init__(self, home: Path, data: Path) -> None:
        self._home = home
        self._data = data
        self.code = "CODE"
        self.receipt = "RECEIPT"

    async def types(self, words: list[str], *, exit_code: int = 0) -> str:
        """Run a command as it stands there, answer what it asks, and give what the screen showed."""
        program, *rest = words
        assert program == ".venv/bin/evmesh"
        known = {"CODE": self.code, "RECEIPT": self.receipt, "data": str(self._data)}
        main, other = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from evmesh.app.main import main; main()"),
            *(known.get(word, word) for word in rest),
            stdin=other,
            stdout=other,
            stderr=other,
            env=self._environment(),
            start_new_session=True,
        )
        os.close(other)
        os.set_blocking(main, False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                screen = await _converse(main)
            assert await process.wait() == exit_code, screen
        finally:
            os.close(main)
            if process.returncode is None:
                process.kill()
        return screen

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVMESH_")}
        return {**kept, "HOME": str(self._home), "TERM": "dumb", "COLUMNS": "200", "TZ": "America/New_York"}


async def _converse(main: int) -> str:
    """Read until the program has let go of its terminal, and type what is asked for."""
    loop, there, screen, answered = asyncio.get_running_loop(), asyncio.Event(), "", 0
    loop.add_reader(main, there.set)
    try:
        while True:
            await there.wait()
            there.clear()
            try:
                screen += os.read(main, 65_536).decode(errors="replace")
            except BlockingIOError:
                continue
            except OSError:
                return screen
            for question, answer in ANSWERS.items():
                if question in screen[answered:]:
                    answered = len(screen)
                    await _until_it_listens(main, hidden=answer == PASSWORD)
                    os.write(main, f"{answer}\n".encode())
    except asyncio.CancelledError:
        raise AssertionError(f"it does not end:\n{screen}") from None
    finally:
        loop.remove_reader(main)


async def _until_it_listens(main: int, *, hidden: bool) -> None:
    """Wait until what is typed does not show: what is typed before a password is asked for is thrown away."""
    while hidden and termios.tcgetattr(main)[3] & termios.ECHO:
        await asyncio.sleep(0.02)


@asynccontextmanager
async def simulated_site(directory: Path) -> AsyncIterator[None]:
    directory.mkdir()
    options = UpOptions(write_site(directory, SITE), directory / "data", 0, 0, speed=60)
    async with running(options, lambda _: None):
        yield


async def test_a_newcomer_plays_through_a_charge_with_the_commands_of_the_readme(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with simulated_site(tmp_path / "site"):
        data = tmp_path / "site" / "data"
        assert order(data, {"do": "show"})["places"], "running means that cars can be plugged in"
        newcomer = Newcomer(home, data)
        steps = walk_of_the_readme()
        screens = list[str]()
        for words in steps:
            screens.append(await newcomer.types(words))
            if words[1:3] == ["sim", "show"]:
                newcomer.code = screens[-1].split()[0]
            if words[1:3] == ["wallet", "pay"]:
                newcomer.receipt = screens[-1].rpartition("receipt  ")[2].split()[0]
        new, faucet, show, plug, pay, verify, unplug, history, close = screens
        account = new.split("account   ")[1].split()[0]
        assert f"given        50.00 to {account}" in faucet
        assert "TRY" in show
        assert "free" in show
        assert "plugged in at" in plug
        for said in ("price      0.35 devEUR per kWh", "until Mon", "(Asia/Tokyo)", "your risk  0.35 devEUR"):
            assert said in pay, pay
        assert f"{home}/.evmesh/wallet/receipts/" in newcomer.receipt
        assert "nothing in this receipt is false" in verify
        received = float(unplug.split("received ")[1].split()[0])
        assert 1 <= received < 1.4
        assert re.search(r"JST .* (metered|settled)", history), history
        assert "are back in the wallet" in close

        # and what does not go is said
        again = ["sim", "plug", newcomer.code, "--data", "data"]
        await newcomer.types([".venv/bin/evmesh", *again, "--battery", "1kWh"], exit_code=2)
        await newcomer.types([".venv/bin/evmesh", *again])
        taken = await newcomer.types([".venv/bin/evmesh", *again], exit_code=3)
        assert "sim.place_taken" in taken
