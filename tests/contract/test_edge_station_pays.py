"""A station from parts with the real services behind it: a session is paid and proven as on any station."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.money import cost_of
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import W, Wh
from evmesh.services.effects import Effects
from evmesh.services.settlements import Settlements
from evmesh.services.transfers_payout import DepositPayouts
from evmesh.services.transfers_settle import DepositSettling
from tests.brokers import running
from tests.contract.patient_loop import PatientLoop
from tests.drivers.clocks import HandClock
from tests.drivers.station_bench import Where, config, hardware, station, until
from tests.fakes.world import OPERATOR, PRICE, SIGNATURES, Driver, eventually, open_world

LOOP = PatientLoop


async def test_a_prepaid_charge_is_started_metered_claimed_and_receipted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.services.effects._POLL_S", 0.02)
    clock, driver = HandClock(), Driver()
    async with (
        hardware(tmp_path) as has,
        open_world(tmp_path, bays=1, phases=3, rating=W(11_040), clock=clock) as world,
    ):
        where = Where(
            has.pilot.path, has.meter_port, has.relay_port, has.lamp.directory, tmp_path / "parts.db"
        )
        bay = world.places[0]
        ref = bay.connector.ref
        rule = replace(config(), connector=ref)
        async with station(where, rule, world.events, clock) as one:
            settlements = Settlements(OPERATOR, world.receipts)
            payouts = DepositPayouts(world.transitions, world.directory, OPERATOR, world.deposits, SIGNATURES)
            effects = Effects(
                world.transitions,
                OPERATOR,
                one,
                world.escrows,
                world.notary,
                settlements,
                lambda _: True,
                deposits=DepositSettling(payouts, settlements),
            )
            async with running(one, effects):
                await until(lambda: one.is_connected(ref.station), "connected")
                await one.set_default_limit(ref, W(11_040))
                await until(lambda: world.live.connector(ref).status is ConnectorStatus.UNAVAILABLE, "heard")
                has.pilot.change("A")  # told only now: what is said before the line is open is lost
                await until(lambda: world.live.connector(ref).status is ConnectorStatus.AVAILABLE, "idle")

                session = await world.pay(driver, await world.promised(driver, bay))
                await until(lambda: world.live.connector(ref).status is ConnectorStatus.PREPARING, "asked")
                has.pilot.change("B")
                await eventually(lambda: world.is_in(session, State.CHARGING))
                await until(lambda: has.is_on, "current")
                has.pilot.change("C")
                has.flow(1_234)
                await until(lambda: world.live.connector(ref).status is ConnectorStatus.CHARGING, "flow")
                # Only now that it was seen: a look that was under way would have put it into the last minute.
                clock.move(timedelta(minutes=11))
                await world.stop_word(driver, await world.now(session))
                await until(lambda: not has.is_on, "off")
                has.flow(1, power_w=0)
                await eventually(lambda: world.is_in(session, State.SETTLED))
                settled = await world.now(session)
        receipt = Receipt.parse(await world.document(session, "evmesh.receipt/1"))
    assert (settled.meter_start, settled.meter_last, settled.flags) == (70_000, 71_235, ())
    assert settled.due == cost_of(Wh(1_235), PRICE)
    assert receipt.energy == 1_235
