"""A simulated meter that signs says what the station says, in records that anybody's reader takes."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.app.config import load_site
from evmesh.csms.v16.messages import SampledValue
from evmesh.csms.v16.signed_data import read_signed
from evmesh.domain.units import W, Wh
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.sim.car import Car
from evmesh.sim.signing_meter import SigningMeter
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from evmesh.verify.ocmf import verify_ocmf
from evmesh.verify.report import Status
from tests.drivers.clocks import HandClock
from tests.unit.sim.test_sim_station import CONFIG

SERIAL = "NL*EVM*E1"
KEY = bytes.fromhex(SigningMeter(SERIAL).public_key)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def station(tmp_path: Path, clock: HandClock) -> Station:
    first, *others = CONFIG.connectors
    config = replace(CONFIG, connectors=(replace(first, signing_serial=SERIAL), *others))
    return Station(config, SimState(tmp_path / "sim.db"), clock)


def charge(station: Station, clock: HandClock, number: int) -> dict[str, object]:
    """Give the StopTransaction of half an hour's charge."""
    station.plug(number, Car.with_room("driver", Wh(20_000), W(7_360)))
    station.remote_start(number, "tag", None)
    for _ in range(180):
        clock.move(timedelta(seconds=10))
        station.tick()
    station.unplug(number)
    payload: dict[str, object] = {}
    while (outgoing := station.outbox.next()) is not None:
        if outgoing.action == "StartTransaction" and outgoing.queued is not None:
            station.start_answered(outgoing.queued.local, 100 + outgoing.queued.local, accepted=True)
        if outgoing.action == "StopTransaction":
            payload = dict(outgoing.payload)
        station.outbox.answered(outgoing)
    return payload


def records(stop: dict[str, object]) -> tuple[bytes, ...]:
    data = stop["transactionData"]
    assert isinstance(data, list)
    values = [one for value in data for one in value["sampledValue"]]
    return read_signed([SampledValue(one["value"], format=one.get("format", "Raw")) for one in values])


def test_a_charge_is_signed_from_its_first_register_to_its_last(station: Station, clock: HandClock) -> None:
    stop = charge(station, clock, 1)
    [record] = records(stop)
    report = verify_ocmf([record], KEY, EcdsaMeterSignatures())
    assert report.report.ok, report.report.failed()
    assert report.signed is Status.OK
    assert report.energy == int(str(stop["meterStop"])) * 1_000 > 0


def test_another_meters_key_does_not_fit(station: Station, clock: HandClock) -> None:
    other = bytes.fromhex(SigningMeter("another").public_key)
    report = verify_ocmf(records(charge(station, clock, 1)), other, EcdsaMeterSignatures())
    assert report.signed is Status.FAILED


def test_a_meter_that_cannot_sign_sends_no_record(station: Station, clock: HandClock) -> None:
    assert records(charge(station, clock, 2)) == ()


def test_the_example_site_names_the_key_of_the_meter_that_signs_there() -> None:
    site = load_site(ROOT / "examples/site.toml")
    signing = [one for one in site.connectors().values() if one.ocmf_key]
    assert signing
    for connector in signing:
        assert SigningMeter(connector.evse_id.text).public_key == connector.ocmf_key.hex()
