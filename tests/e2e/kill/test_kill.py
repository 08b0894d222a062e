"""kill -9 at every point of the session table, of every process; then the books have to be right.

One world runs through all of it: each test kills once, while charges and payments of many drivers
go on, and the last tests audit what all of that came to. A point that is not reached fails its test.
"""

from collections.abc import Callable, Iterator

import pytest

from evmesh.domain.sessions import TABLE, TERMINAL, EffectKind, Event, State
from tests.e2e.kill.books import Books
from tests.e2e.kill.invariants import INVARIANTS
from tests.e2e.kill.stage import Stage
from tests.e2e.kill.world import POINT_WITHIN_S, Crash

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

EVENTS = (Event.RESERVE, *(row.event for row in TABLE))
BEFORE_COMMITS = tuple(f"{event}:before_commit" for event in EVENTS)
AFTER_COMMITS = tuple(f"{event}:after_commit" for event in EVENTS)
SENDS = tuple(
    f"{kind}:{side}_send"
    for kind in EffectKind
    if kind is not EffectKind.PAY_OUT  # it is two payments: TRANSFERS
    for side in ("before", "after")
)
RELAYER = ("relayer.signed", "relayer.written", "relayer.sent", "relayer.mined")
STREAMS = ("streams:before_send", "streams:after_send")
UNDER_WAY = tuple(state for state in State if state not in TERMINAL)
VOUCHERS = ("voucher:before_commit", "voucher:after_commit", "claim:fixed")
"""Further vouchers of a session that is paid as energy flows, and the rows of a claim."""
TRANSFERS = (
    "transfers:before_commit",
    "transfers:after_commit",
    "deposit.due:after_send",
    "deposit.noted",
    "deposit.return:after_send",
    "pay_out:after_send",
)
"""From a transfer that is seen in a block to the two payments that settle it: once in each state of
database and chain that a crash can leave. What lies between two of these points changes neither."""
_SEVERAL = "three sessions are under way"


@pytest.mark.parametrize("point", BEFORE_COMMITS + SENDS + RELAYER + STREAMS + VOUCHERS + TRANSFERS)
async def test_the_platform_dies_at(point: str, stage: Stage) -> None:
    await _dies_at(point, stage)


@pytest.mark.parametrize("point", AFTER_COMMITS)
async def test_the_platform_dies_and_the_hardware_with_it_at(point: str, stage: Stage) -> None:
    """In every state that a session can come to, both are dead at once."""
    await _dies_at(point, stage)
    await stage.world.kill("sim")


async def _dies_at(point: str, stage: Stage) -> None:
    armed = await stage.world.arm(point)
    crash = await stage.world.died_at(point, armed)
    expected = _states_at(point)
    assert not expected or not expected.isdisjoint(crash.open_sessions.values()), crash


def _states_at(point: str) -> frozenset[State]:
    """Give the states of which, by the table, the session that passes `point` has one; none if open.

    A station may tell more before an effect is known to be sent.
    """
    name, _, side = point.partition(":")
    if side == "after_send":
        return frozenset()
    if point == f"{Event.RESERVE}:after_commit":
        return frozenset({State.RESERVED})
    if side == "before_commit":
        return frozenset().union(*(row.sources for row in TABLE if row.event == name))
    owing = (row for row in TABLE if name == row.event or name in row.effects)
    return frozenset(row.target for row in owing) - TERMINAL


@pytest.mark.parametrize("state", UNDER_WAY)
async def test_the_hardware_dies_while_a_session_is(state: State, stage: Stage) -> None:
    """The platform's time stands still meanwhile, so that the session is in this state at the kill."""
    world = stage.world
    for name in ("platform", "sim"):
        await world.running(name)

    async def hit() -> bool:
        if not world.open_in(state):
            return False
        with world.frozen("platform"):
            if not world.open_in(state):
                return False
            await world.kill("sim")
            world.crashes.append(Crash(f"sim in {state}", world.open_sessions()))
            return True

    await world.until(hit, f"a session is {state}", POINT_WITHIN_S)


async def test_the_supervisor_dies_and_the_next_one_takes_over(stage: Stage) -> None:
    world = stage.world
    await world.back()
    await world.until_true(lambda: len(world.open_sessions()) >= 3, _SEVERAL, POINT_WITHIN_S)
    left = world.children()
    assert len(left) == 4
    await world.kill_supervisor()
    assert all(record.is_alive() for record in left), "the children live on without their supervisor"
    await world.start()
    assert not any(record.is_alive() for record in left), "what the killed supervisor left was ended"
    world.crashes.append(Crash("supervisor", world.open_sessions()))


async def test_supervisor_platform_and_hardware_die_together(stage: Stage) -> None:
    world = stage.world
    await world.back()
    await world.until_true(lambda: len(world.open_sessions()) >= 3, _SEVERAL, POINT_WITHIN_S)
    await world.kill_supervisor()
    await world.kill("platform", "sim")
    await world.start()
    world.crashes.append(Crash("everything", world.open_sessions()))


async def test_every_session_that_a_kill_met_has_ended(stage: Stage, books: Books) -> None:
    ended = {row["id"] for row in books.sessions if row["state"] in TERMINAL}
    for crash in stage.world.crashes:
        assert crash.open_sessions.keys() <= ended, f"{crash.what}: {crash.open_sessions}"


@pytest.mark.parametrize("holds", INVARIANTS, ids=lambda holds: holds.__name__)
async def test_after_all_kills(holds: Callable[[Books], Iterator[str]], books: Books) -> None:
    breaches = list(holds(books))
    assert not breaches
