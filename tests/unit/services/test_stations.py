"""What stations say becomes fact once, whatever they send again, late, early or wrong."""

from datetime import timedelta
from typing import Any

import pytest

from evmesh.domain.ids import StationId
from evmesh.domain.money import cost_of
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State
from evmesh.domain.stations import BootInfo, ConnectorStatus, MeterSample, StartedTransaction
from evmesh.domain.units import W, Wh
from evmesh.services.registers import WENT_BACK
from tests.fakes.world import PRICE, Driver, World


async def test_only_the_sites_own_stations_may_boot(world: World) -> None:
    info = BootInfo("vendor", "model", "1", "")
    assert await world.events.booted(StationId("CP-1"), info)
    assert not await world.events.booted(StationId("CP-9"), info)


async def test_a_funded_start_is_accepted_once_and_the_same_again(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    start = world.plugged_in(session)
    first = await world.events.started(start)
    again = await world.events.started(start)

    assert first == again
    assert first.accepted
    running = await world.now(session)
    assert (running.state, running.transaction_id) == (State.CHARGING, first.transaction_id)
    assert (running.meter_start, running.meter_last) == (1_000, 1_000)
    assert await world.events_of(session) == ["reserve", "fund", "start", "started"]


async def test_a_second_start_with_the_same_tag_is_another_and_is_refused(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    first = await world.begin(session)
    world.clock.move(timedelta(seconds=7))
    second = await world.begin(session)
    assert (first.accepted, second.accepted) == (True, False)
    assert first.transaction_id != second.transaction_id
    assert (await world.now(session)).transaction_id == first.transaction_id


async def test_a_start_that_is_heard_again_after_the_end_is_still_the_same(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    start = world.plugged_in(session)
    first = await world.events.started(start)
    await world.end(await world.now(session), 2_000)
    assert await world.events.started(start) == first
    assert (await world.now(session)).state is State.METERED


async def test_an_unfunded_start_is_stored_and_answered_no(world: World) -> None:
    ref = world.places[0].connector.ref
    start = StartedTransaction(ref, "WALLBOX-CARD", world.clock.now(), Wh(5))
    answer = await world.events.started(start)
    assert not answer.accepted
    async with world.database.begin() as unit:
        stored = await unit.transaction(ref.station, answer.transaction_id)
    assert stored is not None
    assert (stored.start, stored.session) == (start, None)


async def test_a_reservation_that_is_not_paid_does_not_start(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    assert not (await world.begin(session)).accepted
    assert (await world.now(session)).state is State.RESERVED


async def test_a_tag_at_another_connector_starts_nothing(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    wrong = await world.begin(session, connector=world.places[1].connector.ref)
    assert not wrong.accepted
    assert (await world.now(session)).state is State.STARTING
    right = await world.begin(session)
    assert right.accepted


async def test_a_tag_is_known_at_its_own_station_while_its_session_may_charge(
    world: World, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0])
    here, elsewhere = StationId("CP-1"), StationId("CP-2")
    assert not await world.events.authorize(here, session.id_tag)
    await world.pay(driver, session)
    assert await world.events.authorize(here, session.id_tag)
    assert not await world.events.authorize(elsewhere, session.id_tag)
    assert not await world.events.authorize(here, "0" * 20)
    await world.begin(session)
    assert await world.events.authorize(here, session.id_tag)
    await world.end(await world.now(session), 2_000)
    assert not await world.events.authorize(here, session.id_tag)


async def test_meter_values_count_up_to_the_bill(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    for register in (1_400, 2_100, 2_950):
        world.clock.move(timedelta(minutes=1))
        await world.measure(session, register, power=W(7_000))
    assert (await world.now(session)).delivered == 1_950
    metered = await world.end(session, 3_000)
    assert (metered.state, metered.cause, metered.delivered) == (State.METERED, "unplugged", 2_000)
    assert metered.due == cost_of(Wh(2_000), PRICE)
    assert metered.flags == ()
    assert await world.owed() == ["remote_start", "anchor", "claim"]


async def test_the_same_meter_value_again_adds_no_evidence(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(timedelta(minutes=1))
    for _ in range(3):
        await world.measure(session, 1_400, at=world.clock.now())
    assert len(await leaves(world, session)) == 2


async def leaves(world: World, session: Any) -> list[Any]:
    async with world.database.begin() as unit:
        return list(await unit.session_leaves(session.id))


async def test_a_register_that_goes_back_is_flagged_and_never_billed(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 2_000)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 1_500)
    flagged = await world.now(session)
    assert (flagged.flags, flagged.meter_last) == ((WENT_BACK,), 2_000)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 1_600)
    metered = await world.end(session, 2_400)
    assert metered.flags == (WENT_BACK,)
    assert metered.delivered == 1_400


async def test_a_stop_below_the_last_register_is_billed_at_the_last_register(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 2_000)
    metered = await world.end(session, 0)
    assert (metered.delivered, metered.flags) == (1_000, (WENT_BACK,))


async def test_a_start_below_the_connectors_last_register_is_flagged(world: World, driver: Driver) -> None:
    ref = world.places[0].connector.ref
    await world.events.metered(ref, None, [MeterSample(world.clock.now(), Wh(9_000))])
    world.clock.move(timedelta(minutes=1))
    session = await world.charging(driver, world.places[0])
    assert session.flags == (WENT_BACK,)
    assert session.meter_start == 1_000


async def test_late_meter_values_do_not_revive_a_session(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    metered = await world.end(session, 2_000)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 2_500)
    assert await world.now(session) == metered
    assert len(await leaves(world, session)) == 2


async def test_a_meter_value_of_anothers_transaction_bills_nobody(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    mine = await world.charging(driver, world.places[0])
    theirs = await world.charging(neighbour, world.places[2])
    world.clock.move(timedelta(minutes=1))
    sample = MeterSample(world.clock.now(), Wh(9_000))
    # station CP-1 speaks of a transaction that runs at CP-2
    await world.events.metered(mine.terms.connector, theirs.transaction_id, [sample])
    assert (await world.now(mine)).delivered == 0
    assert (await world.now(theirs)).delivered == 0


async def test_a_value_from_the_future_is_dated_by_its_arrival(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.measure(session, 1_500, at=world.at(days=400))
    async with world.database.begin() as unit:
        kept = await unit.meter_register(session.terms.connector)
    assert kept == (world.at(minutes=5), 1_500)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 1_700, at=world.at(days=400))
    assert (await world.now(session)).delivered == 700


async def test_a_value_without_a_register_is_shown_and_not_billed(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    sample = MeterSample(world.at(minutes=1), None, power=W(3_000), soc_percent=40)
    await world.events.metered(session.terms.connector, session.transaction_id, [sample])
    assert world.live.connector(session.terms.connector).sample == sample
    assert (await world.now(session)).delivered == 0
    assert world.bus.last("bay-1")["PowerOutput"] == 3_000


async def test_a_stop_that_is_sent_again_meters_nothing_twice(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    metered = await world.end(session, 2_000)
    again = await world.end(session, 4_000)
    assert again == metered
    assert (await world.owed()).count("claim") == 1
    assert len(await leaves(world, session)) == 2


async def test_a_stop_of_a_transaction_that_never_was_is_taken_and_forgotten(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.end(session, 2_000, transaction_id=77)
    assert (await world.now(session)).state is State.CHARGING


async def test_a_stop_by_another_station_ends_nothing(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.end(session, 2_000, station=StationId("CP-2"))
    assert (await world.now(session)).state is State.CHARGING


async def test_samples_that_come_with_the_stop_are_evidence(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    started = world.clock.now()
    world.clock.move(timedelta(minutes=10))
    samples = tuple(MeterSample(started + timedelta(minutes=n), Wh(1_000 + 100 * n)) for n in (2, 4, 6))
    metered = await world.end(session, 2_000, samples=samples)
    assert metered.delivered == 1_000
    assert len(await leaves(world, session)) == 5


@pytest.mark.parametrize("before", [State.CHARGING, State.SUSPENDED, State.STOPPING])
async def test_a_stop_meters_a_session_wherever_it_runs(world: World, driver: Driver, before: State) -> None:
    session = await world.charging(driver, world.places[0])
    if before is State.SUSPENDED:
        await world.says(world.places[0], ConnectorStatus.SUSPENDED_EV)
    if before is State.STOPPING:
        await world.stop_word(driver, session)
    assert (await world.now(session)).state is before
    metered = await world.end(session, 1_750, reason="Remote" if before is State.STOPPING else "Local")
    assert (metered.state, metered.delivered) == (State.METERED, 750)
    assert metered.cause == "driver"


@pytest.mark.parametrize(
    ("reason", "cause"), [("EVDisconnected", "unplugged"), ("Local", "driver"), ("PowerLoss", "station")]
)
async def test_the_cause_of_an_end_is_kept(world: World, driver: Driver, reason: str, cause: str) -> None:
    session = await world.charging(driver, world.places[0])
    assert (await world.end(session, 1_500, reason=reason)).cause == cause


async def test_a_pause_and_its_end_move_the_session(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    for status, state in (
        (ConnectorStatus.CHARGING, State.CHARGING),
        (ConnectorStatus.SUSPENDED_EVSE, State.SUSPENDED),
        (ConnectorStatus.SUSPENDED_EVSE, State.SUSPENDED),
        (ConnectorStatus.CHARGING, State.CHARGING),
        (ConnectorStatus.SUSPENDED_EV, State.SUSPENDED),
    ):
        await world.says(world.places[0], status)
        assert (await world.now(session)).state is state
    assert await world.events_of(session) == [
        *("reserve", "fund", "start", "started"),
        *("suspend", "resume", "suspend"),
    ]


async def test_a_pause_remembers_who_pauses_now(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[0], ConnectorStatus.SUSPENDED_EVSE)
    world.clock.move(timedelta(minutes=30))
    await world.says(world.places[0], ConnectorStatus.SUSPENDED_EV)
    paused = await world.now(session)
    assert (paused.cause, paused.changed_at) == ("SuspendedEV", world.clock.now())


async def test_a_neighbouring_connectors_pause_moves_nothing(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[1], ConnectorStatus.SUSPENDED_EV)
    assert (await world.now(session)).state is State.CHARGING


async def test_energy_that_was_asked_for_is_enough(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0], 5_000)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 5_999)
    assert (await world.now(session)).state is State.CHARGING
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 6_000)
    stopping = await world.now(session)
    assert (stopping.state, stopping.cause) == (State.STOPPING, "delivered")
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 6_200)
    assert (await world.owed()).count("remote_stop") == 1
    metered = await world.end(session, 6_250)
    assert (metered.cause, metered.delivered) == ("delivered", 5_250)
    assert metered.due == session.terms.budget  # what came after the budget is the operator's loss


async def test_a_disconnected_station_is_not_in_service_and_its_session_goes_on(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.events.disconnected(StationId("CP-1"))
    assert world.bus.last("bay-1")["Availability"] == "offline"
    assert world.bus.last("bay-2")["Availability"] == "offline"
    assert "Availability" not in world.bus.last("bay-3")
    assert (await world.now(session)).state is State.CHARGING
    await world.events.connected(StationId("CP-1"))
    assert world.bus.last("bay-1")["Availability"] == "online"


async def test_what_stations_say_goes_out_on_the_bus(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[0], ConnectorStatus.CHARGING)
    world.clock.move(timedelta(minutes=1))
    await world.measure(session, 1_250, power=W(7_000), soc_percent=31)
    assert world.bus.last("bay-1") == {
        "OperationState": "charging",
        "TotalEnergyConsumption": 1_250,
        "PowerOutput": 7_000,
        "StateOfCharge": 31,
        "SessionEnergy": 250,
    }
    await world.says(world.places[0], ConnectorStatus.AVAILABLE)
    assert (world.bus.last("bay-1")["PowerOutput"], world.bus.last("bay-1")["StateOfCharge"]) == (0, None)


async def test_a_station_hears_its_answer_only_after_the_commit(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await world.begin(session)
    assert world.reached[-2:] == ["started:before_commit", "started:after_commit"]


async def test_an_end_that_cannot_be_stored_changes_nothing(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await world.charging(driver, world.places[0])

    class Full(Exception):
        pass

    async def fail(*_: object) -> bytes:
        raise Full

    with monkeypatch.context() as patched:
        patched.setattr(world.receipts, "issue", fail)
        with pytest.raises(Full):
            await world.end(session, 2_000)
    assert await world.now(session) == session
    assert len(await leaves(world, session)) == 1
    metered = await world.end(session, 2_000)
    assert metered.state is State.METERED
    assert await world.document(session, Receipt.FORMAT)
