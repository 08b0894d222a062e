"""A world with its visitors: cars that the simulation drives, and drivers who have only a wallet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.kill import site_files
from tests.e2e.kill.books import Books, is_paid_out, read_books
from tests.e2e.kill.wallet_driver import WalletDriver, fill_purses
from tests.e2e.kill.world import World

QUIET_WITHIN_S = 200.0
PAID_WITHIN_S = 100.0
"""It is paid out on the hour, of platform time: while that goes on, no two looks at the chain agree."""
LAST_LOOK_S = 30.0
"""How long a driver may take to notice that the own session has ended."""

LAST_CHARGE_S = 90.0
"""How long a charge may take that was promised in the instant of the end."""


@dataclass(repr=False)
class Stage:
    """The world, and the drivers without a car, who come back as often as they can."""

    world: World
    drivers: tuple[WalletDriver, ...]
    lives: tuple[asyncio.Task[None], ...] = ()
    is_over: bool = False

    async def close(self) -> Books:
        """Let everybody end what was begun and nobody begin anything; then read the books.

        What does not end is for the audit to tell, so it is noted and not raised.
        """
        self.is_over = True
        unfinished = []
        try:
            await self.world.quiet(QUIET_WITHIN_S)
        except AssertionError as late:
            unfinished.append(str(late))
        _, pending = await asyncio.wait(self.lives, timeout=LAST_LOOK_S)
        try:
            if not unfinished:  # a driver may have been promised one more charge after all was quiet
                await self.world.until_quiet(LAST_CHARGE_S)
            await self.world.until(
                lambda: is_paid_out(self.world), "the operator has what it earned", PAID_WITHIN_S
            )
        except AssertionError as late:
            unfinished.append(str(late))
        unfinished += [f"a driver waits still: {life}" for life in pending]
        unfinished += [repr(life.exception()) for life in self.lives if life.done() and life.exception()]
        books = await read_books(self.world, [driver.signer.address.text for driver in self.drivers])
        books.unfinished = unfinished
        return books


@asynccontextmanager
async def open_stage(directory: Path) -> AsyncIterator[Stage]:
    """Start a world with money in all purses and everybody on the way; ends it with the block."""
    site_files.write_site(directory / "site")
    world = World(directory / "data", directory / "site")
    stage = Stage(world, tuple(WalletDriver(world.data, place) for place in site_files.WALLET_PLACES))
    try:
        await world.start()
        await fill_purses(world.data, stage.drivers, directory / "purses.db")
        await world.let_cars_come()
        lives = (asyncio.create_task(driver.live(lambda: stage.is_over)) for driver in stage.drivers)
        stage.lives = tuple(lives)
        yield stage
    finally:
        for life in stage.lives:
            life.cancel()
        await asyncio.gather(*stage.lives, return_exceptions=True)
        world.stop()
