"""Whole days through the services: rewards fund themselves, to the unit, whatever the cars do."""

import asyncio
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward
from evmesh.domain.sessions import Session
from evmesh.services.rewards import SHARE_PER_MILLE, metered_by_step, readings_of
from tests.fakes.world import Driver, World, open_world
from tests.unit.services.test_reward_days import GROUP, Treasury, to_midnight

Stay = tuple[int, int, bool, list[int]]
"""Bay, quarters of an hour until the first energy, whether it takes part, Wh in each quarter after."""

stays = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 12), st.booleans(), st.lists(st.integers(0, 1_500), max_size=6)
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda stay: stay[0],
)
QUARTER = timedelta(minutes=15)


async def live(world: World, day: list[Stay]) -> dict[str, Session]:
    """Let all cars stand side by side, and draw what they draw."""
    sessions = {}
    for bay, _, flexible, _ in day:
        wish = {"flexible": flexible, "departure": int(world.at(hours=8).timestamp())}
        driver = Driver(f"driver {bay}")
        sessions[bay] = await world.charging(driver, world.places[bay], 4_000, **wish)
    for quarter in range(max(wait + len(drawn) for _, wait, _, drawn in day) + 1):
        world.clock.move(QUARTER)
        for bay, wait, _, drawn in day:
            session = await world.now(sessions[bay])
            so_far = (session.meter_start or 0) + sum(drawn[: max(0, quarter - wait)])
            if quarter == wait + len(drawn):
                await world.end(session, so_far)
            elif quarter < wait + len(drawn):
                await world.measure(session, so_far)
    return {one.id.text: one for one in sessions.values()}


async def check(day: list[Stay], prices: list[int]) -> None:
    def price_at(instant: datetime) -> int:
        return prices[(instant.hour * 4 + instant.minute // 15) % len(prices)]

    with tempfile.TemporaryDirectory() as directory:
        async with open_world(Path(directory), price_at=price_at, capacity=40_000) as world:
            sessions = await live(world, day)
            treasury = Treasury(world, supply=price_at)
            to_midnight(world)
            await treasury.work()
            earned = [await treasury.reward(one) for one in sessions.values()]
            final = await treasury.day(next(one.day for one in earned if one))
            assert final is not None
            assert all(earned)
            paid = sum(one.units for one in earned if one)
            assert final.units == paid
            # Exact: units × 10⁶ against Wh × price × per mille.
            assert paid * 1_000_000 <= final.avoided * SHARE_PER_MILLE
            for one in earned:
                assert one is not None
                session = sessions[one.session.text]
                assert session.terms.flexible or one.units == 0
                document = Reward.parse(await world.document(session, Reward.FORMAT))
                receipt = Receipt.parse(await world.document(session, Receipt.FORMAT))
                assert document.metered_wh == metered_by_step(readings_of(receipt))
                assert (await treasury.token.made([one.holder])) == [one.cumulative] == [one.units]
            assert sum(treasury.token.units.values()) == paid
            assert final.group == GROUP


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(stays, st.lists(st.integers(-50_000, 200_000), min_size=12, max_size=12))
@example([(0, 8, True, [1_500, 1_500]), (1, 0, False, [1_500])], [200_000] * 6 + [10_000] * 6)
def test_the_rewards_of_a_day_are_never_more_than_the_share_of_what_was_saved(
    day: list[Stay], prices: list[int]
) -> None:
    asyncio.run(check(day, prices))
