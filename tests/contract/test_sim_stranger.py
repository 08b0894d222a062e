"""A driver who knows nothing of evmesh but a deposit address: plugs in, sends tokens, drives away."""

import asyncio
from dataclasses import replace

import pytest

from evmesh.domain.sessions import Way
from evmesh.sim.progress import Stage
from tests.drivers.central_system import eventually
from tests.drivers.small_platform import FEE, PRICE
from tests.drivers.small_town import NAME, Town, visit


async def test_a_transfer_starts_the_charge_and_nothing_is_signed(town: Town) -> None:
    comes = replace(visit(town), way=Way.TRANSFER)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    [(code, amount)] = town.platform.sent.values()
    assert (code, amount) == ("CODE1", 10_000 * PRICE // 1000 + FEE)
    assert not town.platform.asked
    assert not town.platform.relayed
    progress = town.progress(comes)
    assert progress is not None
    assert progress.note == ""
    assert progress.received_wh == town.central.record(NAME).last("StopTransaction")["meter_stop"]
    assert (progress.received_wh or 0) > 2_500


@pytest.mark.parametrize(
    ("knob", "note"),
    [("returns_transfers", "transfer.return"), ("takes_transfers", "transfer.closed")],
)
async def test_a_driver_whose_transfer_is_not_taken_goes(town: Town, knob: str, note: str) -> None:
    setattr(town.platform, knob, knob == "returns_transfers")
    comes = replace(visit(town), way=Way.TRANSFER)
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.GONE))
    assert getattr(town.progress(comes), "note", "") == note
    assert not town.central.record(NAME).transactions


async def test_a_device_that_loses_power_does_not_send_the_money_twice(town: Town) -> None:
    comes = replace(visit(town), way=Way.TRANSFER)
    cut = asyncio.Event()

    def cut_once(path: str) -> None:
        if town.platform.sent and not cut.is_set():
            cut.set()
            running.cancel()

    town.platform.before_answer = cut_once
    async with town.people(comes) as running:
        await eventually(cut.is_set)
        with pytest.raises(asyncio.CancelledError):
            await running
    async with town.people(comes):
        await eventually(town.is_at(comes, Stage.DONE))
    assert len(town.platform.sent) == 1
