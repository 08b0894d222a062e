"""One whole charge on the real platform, with a station that the `ocpp` library drives."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from evmesh.app.clock import SharedClock
from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.up import UpOptions, running
from evmesh.domain.receipt import Receipt
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from tests.drivers.ocpp_library_station import LibraryStation
from tests.e2e.kill.wallet_driver import WalletDriver, fill_purses
from tests.e2e.platform.sites import one_connector, write_site

SITE = one_connector(
    "One station of another maker",
    "LIB-1",
    "ocpp",
    "Library",
    at="LIB",
    zone="Europe/Amsterdam",
    start="2026-06-01T08:00:00+02:00",
)


SPEED = 40
"""An offer holds for three minutes: more than four seconds for who is slow to pay."""


class PacedStation(LibraryStation):
    """Lets the time pass that its energy takes: 400 Wh in four minutes are 6 kW."""

    clock: SharedClock

    async def meter(self, step_wh: int) -> None:
        await self.clock.sleep_until(self.clock.now() + timedelta(minutes=4))
        await super().meter(step_wh)


@pytest.mark.timeout(180)
async def test_a_station_of_another_maker_charges_is_paid_and_gets_a_receipt_that_checks(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    options = UpOptions(write_site(tmp_path, SITE), data, port=0, ocpp_port=0, speed=SPEED, with_sim=False)
    async with running(options, lambda _: None) as run:
        clock = SharedClock(data / run.clock)
        async with PacedStation.at(run.ocpp_url, "LIB-1", now=clock.now) as station:
            assert isinstance(station, PacedStation)
            station.clock = clock
            await station.boot()
            driver = WalletDriver(data, "LIB")
            await fill_purses(data, [driver], tmp_path / "purse.db")
            booked = await driver.book()
            async with asyncio.TaskGroup() as group:
                charging = group.create_task(station.charge(samples=5, step_wh=400))
                group.create_task(driver.pay(booked))
            charge = charging.result()
            assert await driver.ended(booked) == "settled"

        assert charge.accepted == "Accepted"
        assert len(charge.id_tag) == 20
        assert driver.signer.address.text[2:] not in charge.id_tag.lower()
        assert charge.profiles
        purposes = {profile["charging_profile_purpose"] for profile in charge.profiles}
        assert purposes == {"TxDefaultProfile", "TxProfile"}
        units = {profile["charging_schedule"]["charging_rate_unit"] for profile in charge.profiles}
        assert units == {"W"}

        async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api:
            raw = (await api.get(f"/v1/receipts/{booked.session}")).content
        receipt = Receipt.parse(raw)
        assert receipt.energy == charge.meter_stop - charge.meter_start == 2000
        report = verify_receipt(raw, EthereumSignatures(), chain=await read_chain_facts(run.rpc_url, receipt))
        assert report.ok, report.failed()
        by_name = {check.name: check.status.value for check in report.checks}
        assert (by_name["anchor"], by_name["settlement"], by_name["registry"]) == ("ok", "ok", "ok")
