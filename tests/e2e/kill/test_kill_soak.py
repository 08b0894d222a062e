"""Kills at random moments, for minutes; then the books have to be right.

`KILL_SOAK_MINUTES` says how long, `KILL_SOAK_SEED` repeats the choices of an earlier run.
"""

import asyncio
import os
import random

import pytest

from tests.e2e.kill.invariants import INVARIANTS
from tests.e2e.kill.stage import Stage
from tests.e2e.kill.world import Crash

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module")]

MINUTES = int(os.environ.get("KILL_SOAK_MINUTES", "10"))
SEED = int(os.environ.get("KILL_SOAK_SEED") or random.randrange(2**32))
VICTIMS = ("platform", "platform", "sim", "platform+sim", "supervisor", "platform+sim+supervisor")
LONGEST_PEACE_S = 6.0


async def test_nothing_is_lost_by_kills_at_random_moments(stage: Stage) -> None:
    chance, world, loop = random.Random(SEED), stage.world, asyncio.get_running_loop()
    end = loop.time() + 60 * MINUTES
    while loop.time() < end:
        # The moments are the point of this test: any wait here may end at any line of the platform.
        await asyncio.sleep(chance.uniform(0, LONGEST_PEACE_S))
        what = chance.choice(VICTIMS)
        victims = what.split("+")
        if "supervisor" in victims:
            await world.kill_supervisor()
            await world.kill(*(name for name in victims if name != "supervisor" and world.is_alive(name)))
            await world.start()
        else:
            await world.kill(*victims)
        world.crashes.append(Crash(what, world.open_sessions()))
    books = await stage.close()
    breaches = {holds.__name__: found for holds in INVARIANTS if (found := list(holds(books)))}
    assert not breaches, f"seed {SEED}, {len(world.crashes)} kills"
