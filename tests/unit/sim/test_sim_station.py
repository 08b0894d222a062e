"""A station and its disk, in time that the test moves; no wire."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import StationId
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.car import Car, PilotState
from evmesh.sim.commands import Answer, Refusal, carry_out
from evmesh.sim.config import SimConfig, SimConnector, SimStation
from evmesh.sim.outbox import Outgoing
from evmesh.sim.profiles import ChargingProfile
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from tests.drivers.clocks import HandClock

STATION = StationId("CA-303-305")
TAG = "TAG"


def connectors(count: int = 2) -> tuple[SimConnector, ...]:
    return tuple(SimConnector(n, f"CA-{n}", W(7_360), 1, Milliamp(32_000)) for n in range(1, count + 1))


CONFIG = SimStation(STATION, "evmesh", "Twin", "SIM1", "a", connectors())


class Rig:
    """A station, its disk and its clock."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, HandClock()
        self.switch_on()

    def switch_on(self) -> None:
        self.state = SimState(self.path)
        self.station = Station(CONFIG, self.state, self.clock)

    def power_cut(self) -> None:
        """What was not committed is gone."""
        self.state._db.close()

    def wait(self, **time: int) -> None:
        end = self.clock.now() + timedelta(**time)
        while self.clock.now() < end:
            self.clock.move(min(timedelta(seconds=10), end - self.clock.now()))
            self.station.tick()

    def sent(self) -> list[Outgoing]:
        """Take everything that waits, as a link would, with answers to starts."""
        taken = []
        while (outgoing := self.station.outbox.next()) is not None:
            if outgoing.action == "StartTransaction" and outgoing.queued is not None:
                self.station.start_answered(outgoing.queued.local, 100 + outgoing.queued.local, accepted=True)
            self.station.outbox.answered(outgoing)
            taken.append(outgoing)
        return taken

    def kept(self) -> list[Outgoing]:
        return [outgoing for outgoing in self.sent() if outgoing.queued is not None]

    def status(self, number: int = 1) -> ConnectorStatus:
        return self.station.evses[number].status()

    def do(self, action: str, **payload: Any) -> Any:
        answer = carry_out(self.station, action, payload)
        assert isinstance(answer, Answer), answer
        return answer.payload.get("status")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "sim.db")
    yield made
    made.power_cut()


def car(room: int = 20_000) -> Car:
    return Car.with_room("driver", Wh(room), W(7_360))


def amperes(limit: int, purpose: str = "TxProfile") -> dict[str, Any]:
    return {
        "chargingProfileId": 1 + len(purpose),
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
        },
    }


def test_statuses_follow_the_plug_the_start_and_the_limits(rig: Rig) -> None:
    assert (rig.status(), rig.station.evses[1].pilot()) == (ConnectorStatus.AVAILABLE, PilotState.NO_CAR)
    rig.station.plug(1, car())
    assert (rig.status(), rig.station.evses[1].pilot()) == (ConnectorStatus.PREPARING, PilotState.CONNECTED)
    rig.station.authorised(1, TAG)
    assert (rig.status(), rig.station.evses[1].pilot()) == (ConnectorStatus.CHARGING, PilotState.CHARGING)
    rig.do("SetChargingProfile", connectorId=1, csChargingProfiles=amperes(5))
    assert (rig.status(), rig.station.evses[1].pilot()) == (
        ConnectorStatus.SUSPENDED_EVSE,
        PilotState.CONNECTED,
    )
    rig.do("SetChargingProfile", connectorId=1, csChargingProfiles=amperes(32))
    rig.wait(hours=9)
    assert rig.status() is ConnectorStatus.SUSPENDED_EV
    rig.station.stop_all("Local")
    assert rig.status() is ConnectorStatus.FINISHING
    rig.station.unplug(1)
    assert rig.status() is ConnectorStatus.AVAILABLE
    told = [o.payload["status"] for o in rig.sent() if o.action == "StatusNotification"]
    assert told == [
        "Preparing",
        "Charging",
        "SuspendedEVSE",
        "Charging",
        "SuspendedEV",
        "Finishing",
        "Available",
    ]


@pytest.mark.parametrize("plug_first", [True, False])
def test_plug_and_authorisation_may_come_in_either_order(rig: Rig, plug_first: bool) -> None:
    steps: list[Callable[[], Any]] = [
        lambda: rig.station.plug(2, car()),
        lambda: rig.do("RemoteStartTransaction", connectorId=2, idTag=TAG),
    ]
    for step in steps if plug_first else reversed(steps):
        assert not rig.station.is_running(2)
        step()
    assert rig.station.is_running(2)
    (start,) = rig.kept()
    assert start.payload == {
        "connectorId": 2,
        "idTag": TAG,
        "meterStart": 0,
        "timestamp": "2026-06-01T06:00:00Z",
    }


def test_a_remote_start_without_connector_prefers_the_one_with_a_car(rig: Rig) -> None:
    rig.station.plug(2, car())
    assert rig.do("RemoteStartTransaction", idTag=TAG) == "Accepted"
    assert rig.station.is_running(2)
    assert rig.do("RemoteStartTransaction", idTag="OTHER") == "Accepted"
    assert rig.do("RemoteStartTransaction", idTag="THIRD") == "Rejected"


def test_a_profile_that_comes_with_the_start_holds_from_the_first_second(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.do("RemoteStartTransaction", connectorId=1, idTag=TAG, chargingProfile=amperes(16))
    assert rig.station.evses[1].offered() == 16_000
    rig.station.stop_all("Local")
    assert rig.station.evses[1].record.profiles == []


def test_energy_is_power_times_time_to_the_watt_second(rig: Rig) -> None:
    rig.station.plug(1, car(60_000))
    rig.do("RemoteStartTransaction", connectorId=1, idTag=TAG, chargingProfile=amperes(10))
    rig.wait(minutes=61, seconds=7)
    assert rig.station.evses[1].record.meter.register_ws == 2_300 * (61 * 60 + 7)


def test_what_caps_the_station_is_shared_by_the_connectors_that_charge(rig: Rig) -> None:
    for number in (1, 2):
        rig.station.plug(number, car(60_000))
        rig.do("RemoteStartTransaction", connectorId=number, idTag=TAG, chargingProfile=amperes(32))
    assert rig.do(
        "SetChargingProfile", connectorId=0, csChargingProfiles=amperes(20, "ChargePointMaxProfile")
    ) == ("Accepted")
    assert [rig.station.evses[number].offered() for number in (1, 2)] == [10_000, 10_000]
    rig.station.unplug(2)
    assert rig.station.evses[1].offered() == 20_000


def test_meter_values_come_with_the_interval_and_the_start_comes_first(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.wait(minutes=5)
    kept = rig.kept()
    assert [o.action for o in kept] == ["StartTransaction"] + ["MeterValues"] * 5
    assert {o.payload.get("transactionId") for o in kept[1:]} == {101}
    samples = {s["measurand"]: s["value"] for s in kept[-1].payload["meterValue"][0]["sampledValue"]}
    assert samples == {
        "Energy.Active.Import.Register": "115",
        "Power.Active.Import": "1380",
        "Current.Offered": "6.000",
        "SoC": str(rig.station.evses[1].record.car.soc_percent if rig.station.evses[1].record.car else 0),
    }
    assert rig.do("ChangeConfiguration", key="MeterValueSampleInterval", value="900") == "Accepted"
    assert rig.do("ChangeConfiguration", key="MeterValuesSampledData", value="SoC, Voltage") == "Rejected"
    assert rig.do("ChangeConfiguration", key="MeterValuesSampledData", value="SoC") == "Accepted"
    rig.wait(minutes=60)
    kept = rig.kept()
    assert len(kept) == 4
    samples = kept[-1].payload["meterValue"][0]["sampledValue"]
    assert [sample["measurand"] for sample in samples] == ["Energy.Active.Import.Register", "SoC"]


def test_a_stop_tells_the_registers_of_begin_and_end(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.wait(minutes=10)
    rig.kept()
    rig.station.unplug(1)
    (stop,) = rig.kept()
    assert (stop.payload["meterStop"], stop.payload["reason"], stop.payload["transactionId"]) == (
        230,
        "EVDisconnected",
        101,
    )
    contexts = [v["sampledValue"][0]["context"] for v in stop.payload["transactionData"]]
    assert contexts == ["Transaction.Begin", "Transaction.End"]


def test_a_power_cut_keeps_the_start_the_queue_and_the_fit_of_meter_and_battery(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.wait(minutes=3, seconds=40)
    rig.power_cut()
    rig.clock.move(timedelta(hours=2))
    rig.switch_on()
    record = rig.station.evses[1].record
    assert record.car is not None
    assert record.car.received_ws == record.meter.register_ws == 1_380 * 180
    rig.wait(minutes=1)
    kept = rig.kept()
    assert [o.action for o in kept] == ["StartTransaction"] + ["MeterValues"] * 4
    assert kept[0].payload["timestamp"] == "2026-06-01T06:00:00Z"
    assert kept[-1].payload["meterValue"][0]["sampledValue"][0]["value"] == "76"  # 69 Wh, then 20 s
    assert rig.do("RemoteStopTransaction", transactionId=101) == "Accepted"


def test_an_answered_message_is_not_sent_again_after_a_power_cut_once_a_commit_followed(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.wait(minutes=2)
    assert len(rig.kept()) == 3
    rig.wait(minutes=1)
    rig.power_cut()
    rig.switch_on()
    assert [o.action for o in rig.kept()] == ["MeterValues"]


def test_a_start_that_is_given_up_takes_its_messages_along_and_no_others(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.station.plug(2, car())
    rig.station.authorised(2, "OTHER")
    rig.wait(minutes=1)
    rig.station.start_given_up(1)
    kept = rig.kept()
    assert [o.action for o in kept] == ["StartTransaction", "MeterValues"]
    assert kept[0].payload["idTag"] == "OTHER"
    assert not rig.station.is_running(1)


def test_beyond_its_memory_a_station_drops_the_oldest_meter_values_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.sim.state.MAX_UNSENT", 5)
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.wait(minutes=20)
    rig.station.unplug(1)
    kept = rig.kept()
    assert [o.action for o in kept] == ["StartTransaction"] + ["MeterValues"] * 4 + ["StopTransaction"]
    assert kept[1].payload["meterValue"][0]["timestamp"] == "2026-06-01T06:17:00Z"


def test_out_of_order_waits_for_the_end_of_a_transaction(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    assert rig.do("ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    rig.station.unplug(1)
    assert rig.status() is ConnectorStatus.UNAVAILABLE
    assert rig.do("RemoteStartTransaction", connectorId=1, idTag=TAG) == "Rejected"
    assert rig.do("ChangeAvailability", connectorId=0, type="Operative") == "Accepted"
    assert rig.status() is ConnectorStatus.AVAILABLE


def test_settings_are_remembered(rig: Rig) -> None:
    assert rig.do("ChangeConfiguration", key="HeartbeatInterval", value="17") == "Accepted"
    assert rig.do("ChangeConfiguration", key="HeartbeatInterval", value="soon") == "Rejected"
    assert rig.do("ChangeConfiguration", key="StopTransactionOnInvalidId", value="maybe") == "Rejected"
    rig.power_cut()
    rig.switch_on()
    assert rig.station.configuration.number("HeartbeatInterval") == 17


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("MakeCoffee", {}, "NotImplemented"),
        ("ReserveNow", {}, "NotSupported"),
        ("RemoteStartTransaction", {}, "OccurenceConstraintViolation"),
        ("RemoteStartTransaction", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("RemoteStartTransaction", {"idTag": TAG, "connectorId": "1"}, "TypeConstraintViolation"),
        ("RemoteStopTransaction", {"transactionId": True}, "TypeConstraintViolation"),
        ("Reset", {"type": "Gentle"}, "PropertyConstraintViolation"),
        ("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": 5}, "TypeConstraintViolation"),
    ],
)
def test_a_command_that_cannot_be_read_is_answered_with_an_error(
    rig: Rig, action: str, payload: dict[str, Any], code: str
) -> None:
    answer = carry_out(rig.station, action, payload)
    assert isinstance(answer, Refusal)
    assert answer.code == code


@pytest.mark.parametrize(
    ("connector", "profile"),
    [
        (9, amperes(16)),
        (1, amperes(16) | {"transactionId": 55}),
        (0, amperes(16)),
        (1, amperes(16, "ChargePointMaxProfile")),
        (2, amperes(16)),
    ],
)
def test_a_profile_for_what_is_not_there_is_rejected(
    rig: Rig, connector: int, profile: dict[str, Any]
) -> None:
    rig.station.plug(1, car())
    rig.station.authorised(1, TAG)
    rig.sent()
    assert rig.do("SetChargingProfile", connectorId=connector, csChargingProfiles=profile) == "Rejected"


def test_profiles_are_cleared_by_id_or_by_what_they_are_for(rig: Rig) -> None:
    rig.do("SetChargingProfile", connectorId=0, csChargingProfiles=amperes(16, "TxDefaultProfile"))
    assert rig.do("ClearChargingProfile", chargingProfilePurpose="TxProfile") == "Unknown"
    assert rig.do("ClearChargingProfile", connectorId=1, stackLevel=0) == "Accepted"
    assert len(rig.station.evses[2].record.profiles) == 1
    assert rig.do("ClearChargingProfile", id=17) == "Accepted"
    assert rig.station.evses[2].record.profiles == []


def test_a_transaction_that_a_crash_interrupted_keeps_its_profile(rig: Rig) -> None:
    rig.station.plug(1, car())
    rig.do("RemoteStartTransaction", connectorId=1, idTag=TAG, chargingProfile=amperes(16))
    rig.power_cut()
    rig.switch_on()
    assert rig.station.evses[1].record.profiles == [ChargingProfile.parse(amperes(16))]
    assert rig.station.evses[1].offered() == 16_000


def test_a_plug_goes_in_once_and_out_once(rig: Rig) -> None:
    rig.station.plug(1, car())
    with pytest.raises(ValueError, match="has a car"):
        rig.station.plug(1, car())
    rig.station.unplug(1)
    with pytest.raises(ValueError, match="has no car"):
        rig.station.unplug(1)


def test_a_site_with_gaps_in_its_connectors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="from 1"):
        SimStation(STATION, "v", "m", "s", "g", connectors(2)[1:])
    assert SimConfig(tmp_path, "ws://x", "http://x", (CONFIG,)).behaviour_of("any").duplicate_every == 0
