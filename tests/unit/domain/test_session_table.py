"""The table of a charge: every state is come to, every one with money can be left, nothing else moves."""

import itertools

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.sessions import (
    PLUGGED,
    PROMISED,
    TABLE,
    TERMINAL,
    EffectKind,
    Event,
    State,
    transition,
)

HOLDS_MONEY = frozenset(State) - TERMINAL - {State.RESERVED}


def reachable_from(*starts: State) -> set[State]:
    found = set(starts)
    while True:
        more = {row.target for row in TABLE if row.sources & found} - found
        if not more:
            return found
        found |= more


def test_every_state_is_come_to_from_a_reservation() -> None:
    assert reachable_from(State.RESERVED) == set(State)


def test_nothing_happens_to_a_session_that_is_over() -> None:
    for row in TABLE:
        assert not row.sources & TERMINAL, row


@pytest.mark.parametrize("state", sorted(frozenset(State) - TERMINAL))
def test_every_other_state_can_be_left_for_an_end(state: State) -> None:
    assert reachable_from(state) & TERMINAL


@pytest.mark.parametrize("state", sorted(HOLDS_MONEY))
def test_money_leaves_only_by_a_claim_or_a_refund(state: State) -> None:
    assert State.EXPIRED not in reachable_from(state)
    assert reachable_from(state) & {State.SETTLED, State.REFUNDED}


def test_before_energy_flows_money_goes_back_and_after_it_money_is_claimed() -> None:
    for state in (State.FUNDED, State.STARTING):
        assert State.REFUNDED in reachable_from(state)
    for state in PLUGGED | {State.METERED}:
        assert State.REFUNDED not in reachable_from(state)
        assert State.SETTLED in reachable_from(state)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, list(Event)[1:])))
def test_a_transition_is_a_row_of_the_table_or_refused(state: State, event: Event) -> None:
    rows = [row for row in TABLE if row.event is event and state in row.sources]
    if rows:
        assert [transition(state, event)] == rows
    else:
        with pytest.raises(Refused, match=r"session\.wrong_state") as refused:
            transition(state, event)
        assert state.value in refused.value.what


def test_each_event_has_one_row_and_a_guard_in_words() -> None:
    events = [row.event for row in TABLE]
    assert sorted(events) == sorted(set(Event) - {Event.RESERVE})
    assert all(row.guard for row in TABLE)


def test_what_a_state_owes_is_what_ends_it() -> None:
    owed = {row.target: set(row.effects) for row in TABLE if row.effects}
    assert owed == {
        State.STARTING: {EffectKind.REMOTE_START},
        State.STOPPING: {EffectKind.REMOTE_STOP},
        State.METERED: {EffectKind.ANCHOR, EffectKind.CLAIM},
        State.REFUNDING: {EffectKind.REFUND},
    }


def test_a_time_out_has_a_row_that_it_can_take() -> None:
    for row in TABLE:
        assert (row.timeout is None) == (row.on_timeout is None)
        if row.on_timeout is not None:
            assert transition(row.target, row.on_timeout).event is row.on_timeout


def test_the_planner_owes_energy_while_it_may_still_flow() -> None:
    assert not PROMISED & (TERMINAL | {State.STOPPING, State.METERED, State.REFUNDING})
    assert PLUGGED - {State.STOPPING} <= PROMISED
