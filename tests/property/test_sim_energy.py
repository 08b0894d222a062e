"""Whatever drivers, the CSMS and the grid do to a station: no energy is lost or made up, no story changes."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evmesh.domain.ids import StationId
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.car import Car
from evmesh.sim.config import SimConnector, SimStation
from evmesh.sim.evse import Evse, EvseRecord, Transaction
from evmesh.sim.profiles import ChargingProfile, Period, Purpose
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from tests.drivers.clocks import MONDAY, HandClock

CONNECTOR = SimConnector(1, "CA-303", W(7_360), 1, Milliamp(32_000))
CONFIG = SimStation(StationId("CA-303"), "v", "m", "s", "g", (CONNECTOR,))


def profile(milliamps: int, hours: int) -> ChargingProfile:
    return ChargingProfile(
        id=1,
        stack_level=0,
        purpose=Purpose.TX,
        unit="A",
        periods=[Period(0, milliamps, 1)],
        valid_to=MONDAY + timedelta(hours=hours),
    )


@given(
    room=st.integers(1, 80_000),
    offered=st.integers(0, 40_000),
    max_power=st.integers(1_380, 22_000),
    naps=st.lists(st.integers(1, 7_200), max_size=12),
)
def test_a_meter_and_a_battery_agree_and_the_limit_is_never_passed(
    room: int, offered: int, max_power: int, naps: list[int]
) -> None:
    car = Car.with_room("driver", Wh(room), W(max_power))
    record = EvseRecord(at=MONDAY, car=car, profiles=[profile(offered, 8)])
    record.transaction = Transaction(1, "TAG", MONDAY, Wh(0))
    evse, now = Evse(CONNECTOR, record), MONDAY
    limit = 0 if offered < 6_000 else min(offered, 32_000) * 230 // 1000
    for nap in naps:
        before, now = record.meter.register_ws, now + timedelta(seconds=nap)
        evse.advance(now)
        given_ws = record.meter.register_ws - before
        assert 0 <= given_ws <= max(limit, 1_380 if now > MONDAY + timedelta(hours=8) else 0) * nap
    assert record.meter.register_ws == car.received_ws <= room * 3600
    assert record.at == now


@given(room=st.integers(1, 60_000), cuts=st.lists(st.integers(1, 3_600), min_size=1, max_size=8))
def test_how_often_one_looks_changes_nothing(room: int, cuts: list[int]) -> None:
    """A tick is a look, not physics: any series of ticks gives the register that one look gives."""
    registers = []
    for naps in (cuts, [sum(cuts)]):
        record = EvseRecord(at=MONDAY, car=Car.with_room("driver", Wh(room), W(7_360)))
        record.profiles = [profile(32_000, 99)]
        record.transaction = Transaction(1, "TAG", MONDAY, Wh(0))
        evse, now = Evse(CONNECTOR, record), MONDAY
        for nap in naps:
            now += timedelta(seconds=nap)
            evse.advance(now)
        registers.append(record.meter.register_ws)
    # Power is taken as constant over at most ten seconds. A look inside such a stretch divides it, and in
    # the taper of the smallest battery that moves less than 5 980 W / 4 800 Wh × 7 360 W × (5 s)² = 64 Ws.
    assert abs(registers[0] - registers[1]) <= 64 * len(cuts)


class Life(RuleBasedStateMachine):
    """Anything may happen to a station, in any order, and its power may fail."""

    @initialize()
    def install(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.gone_ws = self.committed_gone_ws = 0
        self.starts: dict[int, dict[str, Any]] = {}
        self.stops: dict[int, dict[str, Any]] = {}
        self.registers: list[int] = []
        self._switch_on()

    def _switch_on(self) -> None:
        self.state = SimState(Path(self.directory.name) / "sim.db")
        self.station = Station(CONFIG, self.state, self.clock)

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.state._db.close()
            self.directory.cleanup()

    @property
    def record(self) -> EvseRecord:
        return self.station.evses[1].record

    @precondition(lambda self: self.record.car is None)
    @rule(room=st.integers(1, 9_000))
    def plug(self, room: int) -> None:
        self.station.plug(1, Car.with_room("driver", Wh(room), W(7_360)))

    @precondition(lambda self: self.record.car is not None)
    @rule()
    def unplug(self) -> None:
        self.gone_ws += self.station.unplug(1).received_ws

    @rule()
    def authorise(self) -> None:
        self.station.remote_start(1, "TAG", None)

    @precondition(lambda self: self.record.transaction is not None)
    @rule(limit=st.integers(0, 32_000), hours=st.integers(1, 30))
    def limit(self, limit: int, hours: int) -> None:
        self.station.change_profiles(1, [profile(limit, hours)])

    @rule()
    def stop(self) -> None:
        self.station.stop_all("Local")

    @rule(seconds=st.integers(1, 2_000))
    def wait(self, seconds: int) -> None:
        self.clock.move(timedelta(seconds=seconds))
        self.station.tick()

    @rule()
    def fail_and_come_back(self) -> None:
        """Cut the power: what was not committed is gone, in the meter and in the battery alike."""
        self.state._db.close()
        self.clock.move(timedelta(minutes=7))
        self._switch_on()

    @rule(how_many=st.integers(1, 6))
    def deliver(self, how_many: int) -> None:
        """Let the CSMS hear some messages, each perhaps for the second time."""
        for _ in range(how_many):
            outgoing = self.station.outbox.next()
            if outgoing is None:
                return
            if outgoing.queued is not None:
                self._hear(outgoing.action, outgoing.queued.local, outgoing.payload)
                if outgoing.action == "StartTransaction":
                    self.station.start_answered(
                        outgoing.queued.local, 100 + outgoing.queued.local, accepted=True
                    )
            self.station.outbox.answered(outgoing)

    def _hear(self, action: str, local: int, payload: dict[str, Any]) -> None:
        if action == "StartTransaction":
            assert self.starts.setdefault(local, payload) == payload
            self.registers.append(payload["meterStart"])
        elif action == "StopTransaction":
            assert self.stops.setdefault(local, payload) == payload
            assert payload["transactionId"] == 100 + local
            assert payload["meterStop"] >= self.starts[local]["meterStart"]
            assert payload["timestamp"] >= self.starts[local]["timestamp"]
            self.registers.append(payload["meterStop"])
        else:
            value = payload["meterValue"][0]["sampledValue"][0]["value"]
            self.registers.append(int(value))

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        if hasattr(self, "state"):
            plugged = self.record.car.received_ws if self.record.car is not None else 0
            assert self.record.meter.register_ws == self.gone_ws + plugged

    @invariant()
    def what_was_told_was_measured(self) -> None:
        if hasattr(self, "state"):
            assert max(self.registers, default=0) <= self.record.meter.register


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
