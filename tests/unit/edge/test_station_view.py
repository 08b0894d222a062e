"""What a station's parts amount to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import (
    ConnectorStatus,
    LimitPeriod,
    LimitProfile,
    StartAnswer,
    StartedTransaction,
)
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.edge.led import Colour
from evmesh.edge.pilot import Pilot
from evmesh.edge.station_record import Authorisation, Charge, Record, StationConfig
from evmesh.edge.station_view import Seen, allowed, colour_of, status_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
REF = ConnectorRef(StationId("s"), 1)
CONFIG = StationConfig(REF, 3, Milliamp(20_000))
CHARGE = Charge(1, StartedTransaction(REF, "tag", NOW, Wh(0)), Wh(0), NOW)
RUNS = Record(charge=CHARGE)
WAITS = Record(authorisation=Authorisation("t", NOW))
ENDS = Record(charge=replace(CHARGE, stopping="Remote"))
YES = StartAnswer(1, accepted=True)
ON, OFF = Milliamp(16_000), Milliamp(0)
S = ConnectorStatus


def seen(pilot: Pilot | None, power: int | None = 0, trouble: str = "") -> Seen:
    return Seen(pilot, Wh(0), None if power is None else W(power), trouble)


@pytest.mark.parametrize(
    ("record", "answer", "look", "offered", "status", "colour"),
    [
        (Record(), None, seen(Pilot.NO_CAR), OFF, S.AVAILABLE, Colour.YELLOW),
        (Record(), None, seen(Pilot.CONNECTED), OFF, S.PREPARING, Colour.GREEN),
        (Record(), None, seen(None), OFF, S.UNAVAILABLE, Colour.OFF),
        (Record(is_over=True), None, seen(Pilot.CHARGING), OFF, S.FINISHING, Colour.GREEN),
        (WAITS, None, seen(Pilot.NO_CAR), OFF, S.PREPARING, Colour.YELLOW),
        (RUNS, None, seen(Pilot.CONNECTED), OFF, S.PREPARING, Colour.GREEN),
        (RUNS, YES, seen(Pilot.CONNECTED), ON, S.SUSPENDED_EV, Colour.LIGHT_BLUE),
        (RUNS, YES, replace(seen(Pilot.CONNECTED), is_fresh=True), ON, None, Colour.LIGHT_BLUE),
        (RUNS, YES, seen(Pilot.CHARGING, 7_000), ON, S.CHARGING, Colour.DARK_BLUE),
        (RUNS, YES, seen(None, 7_000), ON, S.CHARGING, Colour.DARK_BLUE),
        (RUNS, YES, seen(None), ON, None, Colour.LIGHT_BLUE),
        (RUNS, YES, seen(Pilot.CHARGING, None), ON, None, Colour.LIGHT_BLUE),
        (RUNS, YES, seen(Pilot.CONNECTED), OFF, S.SUSPENDED_EVSE, Colour.GREEN),
        (RUNS, YES, seen(Pilot.CHARGING, 7_000, "PowerMeterFailure"), ON, S.FAULTED, Colour.RED),
        (Record(), None, seen(Pilot.FAULT, 0, "OtherError"), OFF, S.FAULTED, Colour.RED),
        (ENDS, YES, seen(Pilot.CHARGING), OFF, S.FINISHING, Colour.GREEN),
    ],
)  # fmt: skip
def test_status_and_colour_follow_what_is_seen(
    record: Record,
    answer: StartAnswer | None,
    look: Seen,
    offered: Milliamp,
    status: ConnectorStatus | None,
    colour: Colour,
) -> None:
    said = status_of(record, answer, look, offered)
    assert (said[0] if said else None) is status
    assert colour_of(record, look, offered) is colour


def test_nothing_may_flow_without_a_charge_that_was_accepted() -> None:
    full = Record(default_limit=W(11_040))
    assert allowed(CONFIG, full, YES, NOW) == 0
    assert allowed(CONFIG, replace(full, charge=CHARGE), None, NOW) == 0
    assert allowed(CONFIG, replace(full, charge=CHARGE), StartAnswer(1, accepted=False), NOW) == 0
    assert allowed(CONFIG, replace(full, charge=replace(CHARGE, stopping="Remote")), YES, NOW) == 0
    assert allowed(CONFIG, replace(full, charge=CHARGE), YES, NOW) == 16_000


def test_the_profile_speaks_first_then_the_default_then_the_safe_current() -> None:
    periods = (LimitPeriod(0, W(6_900)), LimitPeriod(60, W(90_000)), LimitPeriod(120, W(3_000)))
    profile = LimitProfile(NOW, NOW + timedelta(seconds=180), periods, "test")
    record = Record(charge=replace(CHARGE, profile=profile), default_limit=W(8_280))
    currents = [allowed(CONFIG, record, YES, NOW + timedelta(seconds=s)) for s in (0, 60, 120, 180)]
    assert currents == [10_000, 20_000, 0, 12_000]  # 3 kW are less than 6 A on three phases
    assert allowed(CONFIG, RUNS, YES, NOW) == 6_000
