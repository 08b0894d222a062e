"""A driver asks: every wish is answered with a promise, a proven no, or what to mend."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import UNSECURED_TTL, Event, State
from evmesh.domain.station_code import code_of
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.typed_data import Domain, digest
from evmesh.services.requests import NotPromised, Promise
from evmesh.verify.schedule import verify_schedule
from tests.fakes.world import CONTRACTS, OPERATOR, PRICE, SIGNATURES, Driver, World


def unix(instant: datetime) -> int:
    return int(instant.timestamp())


async def test_a_wish_that_fits_gets_a_reservation_an_offer_and_a_plan(world: World, driver: Driver) -> None:
    place = world.places[0]
    wish = world.wish(driver, place)
    answer = await world.requests.request(place.code, wish, driver.sign(wish))

    assert isinstance(answer, Promise)
    session, offer = answer.session, answer.offer
    assert (session.state, session.terms.payer) == (State.RESERVED, driver.address)
    assert session.deadline == world.clock.now() + UNSECURED_TTL
    assert offer.budget == 5_000 * PRICE // 1000
    signed = digest(OPERATOR.domain, offer, SIGNATURES.keccak256)
    assert SIGNATURES.recover(signed, session.offer_signature) == OPERATOR.payee.address
    assert verify_schedule(answer.plan.stored.problem, answer.plan.stored.schedule).ok
    row = answer.plan.schedule.row(answer.plan.stored.pseudonyms[session.id.text])
    assert sum(row.wh) == 5_000
    assert await world.now(session) == session
    assert len(session.id_tag) == 20


async def test_the_same_request_again_is_the_same_promise(world: World, driver: Driver) -> None:
    place = world.places[0]
    wish = world.wish(driver, place)
    first = await world.requests.request(place.code, wish, driver.sign(wish))
    world.clock.move(timedelta(minutes=1))
    again = await world.requests.request(place.code, wish, driver.sign(wish))

    assert isinstance(first, Promise)
    assert again == first
    assert len(await world.sessions()) == 1


async def test_a_used_nonce_does_not_stand_for_another_wish(world: World, driver: Driver) -> None:
    place = world.places[0]
    wish = world.wish(driver, place)
    await world.requests.request(place.code, wish, driver.sign(wish))
    other = replace(wish, energy_wh=9_000)
    with pytest.raises(InvalidInput) as refused:
        await world.requests.request(place.code, other, driver.sign(other))
    assert refused.value.code == "request.nonce_used"


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        (lambda w: {"departure": unix(w.at(hours=-1))}, "request.departure_in_past", "request.departure"),
        (lambda w: {"departure": unix(w.at())}, "request.departure_in_past", "request.departure"),
        (lambda w: {"departure": 0}, "request.departure_in_past", "request.departure"),
        (lambda w: {"departure": unix(w.at(minutes=29))}, "request.departure_too_soon", "request.departure"),
        (
            lambda w: {"departure": unix(w.at(days=7, seconds=1))},
            "request.departure_too_late",
            "request.departure",
        ),
        (lambda w: {"departure": 2**63 - 1}, "request.departure_too_late", "request.departure"),
        (lambda w: {"deadline": unix(w.at(seconds=-1))}, "request.deadline", "request.deadline"),
        (lambda w: {"deadline": unix(w.at(hours=1, seconds=1))}, "request.deadline", "request.deadline"),
        (lambda w: {"deadline": 2**63 - 1}, "request.deadline", "request.deadline"),
        (lambda w: {"energy_wh": 0}, "request.no_energy", "request.energy_wh"),
        (lambda w: {"max_cost": 5_000 * PRICE // 1000 - 1}, "request.max_cost_too_small", "request.max_cost"),
        (lambda w: {"asset": 2}, "request.other_asset", "request.asset"),
    ],
)
async def test_what_a_driver_can_mend_is_named(
    world: World, driver: Driver, changes: Any, code: str, path: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await world.ask(driver, world.places[0], **changes(world))
    assert (refused.value.code, refused.value.path) == (code, path)
    assert not await world.sessions()


@pytest.mark.parametrize(
    "changes", [{"departure_minutes": 30}, {"departure_days": 7}, {"max_cost": 5_000 * PRICE // 1000}]
)
async def test_what_is_just_inside_is_promised(world: World, driver: Driver, changes: dict[str, int]) -> None:
    wish: dict[str, Any] = {}
    if "departure_minutes" in changes:
        wish = {"wh": 1_000, "departure": unix(world.at(minutes=changes["departure_minutes"]))}
    elif "departure_days" in changes:
        wish = {"departure": unix(world.at(days=changes["departure_days"]))}
    else:
        wish = changes
    assert isinstance(await world.ask(driver, world.places[0], **wish), Promise)


@pytest.mark.parametrize(
    ("mistype", "code"),
    [
        (lambda code: code_of(99), "station.unknown_code"),
        (lambda code: code[:-1] + ("0" if code[-1] != "0" else "2"), "station.mistyped_code"),
        (lambda code: "hello", "station.malformed_code"),
    ],
)
async def test_a_code_that_is_not_here_is_refused(
    world: World, driver: Driver, mistype: Any, code: str
) -> None:
    place = world.places[0]
    wish = world.wish(driver, place)
    with pytest.raises(InvalidInput) as refused:
        await world.requests.request(mistype(place.code), wish, driver.sign(wish))
    assert refused.value.code == code


async def test_nobody_asks_in_anothers_name(world: World, driver: Driver, thief: Driver) -> None:
    wish = world.wish(driver, world.places[0])
    with pytest.raises(IntegrityFailure, match=r"request\.wrong_signature"):
        await world.requests.request(world.places[0].code, wish, thief.sign(wish))


async def test_a_signature_for_another_chain_is_not_one_for_here(world: World, driver: Driver) -> None:
    wish = world.wish(driver, world.places[0])
    elsewhere = Domain(8822, CONTRACTS.charge_tab)
    signature = driver.key.sign(digest(elsewhere, wish, SIGNATURES.keccak256))
    with pytest.raises(IntegrityFailure, match=r"request\.wrong_signature"):
        await world.requests.request(world.places[0].code, wish, signature)


async def test_bytes_that_are_no_signature_are_refused(world: World, driver: Driver) -> None:
    wish = world.wish(driver, world.places[0])
    with pytest.raises(IntegrityFailure, match=r"signature\.malformed"):
        await world.requests.request(world.places[0].code, wish, bytes(64))


async def test_a_second_car_on_a_taken_connector_is_refused(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    await world.promised(driver, world.places[0])
    with pytest.raises(Refused, match=r"connector\.taken"):
        await world.ask(neighbour, world.places[0])
    assert isinstance(await world.ask(neighbour, world.places[1]), Promise)


async def test_one_wallet_has_one_session(world: World, driver: Driver) -> None:
    await world.promised(driver, world.places[0])
    with pytest.raises(Refused, match=r"payer\.session_open"):
        await world.ask(driver, world.places[1])


async def test_a_metered_session_frees_the_connector_but_not_the_wallet(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    assert (await world.end(session, 3_000)).state is State.METERED
    with pytest.raises(Refused, match=r"payer\.session_open"):
        await world.ask(driver, world.places[1])
    assert isinstance(await world.ask(neighbour, world.places[0]), Promise)


async def test_a_station_that_is_away_promises_nothing(world: World, driver: Driver) -> None:
    await world.events.disconnected(world.places[0].connector.ref.station)
    with pytest.raises(Refused, match=r"station\.out_of_service"):
        await world.ask(driver, world.places[0])
    await world.events.connected(world.places[0].connector.ref.station)
    assert isinstance(await world.ask(driver, world.places[0]), Promise)


@pytest.mark.parametrize("status", [ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE])
async def test_a_broken_connector_promises_nothing(
    world: World, driver: Driver, status: ConnectorStatus
) -> None:
    await world.says(world.places[0], status)
    with pytest.raises(Refused, match=r"station\.out_of_service"):
        await world.ask(driver, world.places[0])


async def test_a_wallet_that_leaves_its_tab_is_refused(world: World, driver: Driver) -> None:
    world.escrow.leave(driver.address, unix(world.at(days=1)))
    with pytest.raises(Refused, match=r"tab\.exiting"):
        await world.ask(driver, world.places[0])


async def test_without_a_chain_nothing_is_promised_and_nothing_kept(world: World, driver: Driver) -> None:
    world.escrow.away = True
    with pytest.raises(Unavailable):
        await world.ask(driver, world.places[0])
    assert not await world.sessions()


async def test_the_offer_counts_on_from_what_the_tab_has_spent(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    session = await world.end(session, 2_000)
    world.escrow.tabs[driver.address] = replace(world.escrow.tabs[driver.address], spent=350_000)
    async with world.transitions.begin() as work:
        await work.apply(session, Event.SETTLE, "claimed")
    later = await world.promised(driver, world.places[0])
    assert later.terms.base == 350_000


async def fill_up(world: World) -> None:
    """Promise so much that 16 kW have little left for hours."""
    for number in range(3):
        bird = Driver(f"early bird {number}")
        world.fund(bird, 16_000 * PRICE // 1000)
        await world.promised(
            bird,
            world.places[number],
            16_000,
            departure=unix(world.at(hours=3, minutes=30)),
        )


async def test_energy_that_cannot_fit_is_refused_with_a_proof(world: World, driver: Driver) -> None:
    await fill_up(world)
    answer = await world.ask(driver, world.places[3], 20_000)

    assert isinstance(answer, NotPromised)
    assert verify_schedule(answer.record.problem, answer.record.schedule).ok
    assert answer.certificate.deficit_wh > 0
    assert answer.record.offers
    async with world.database.begin() as unit:
        [kept] = await unit.refusals(10)
    assert replace(kept, number=0) == answer.record
    assert len(await world.sessions()) == 3


async def test_the_same_refused_request_again_is_the_same_refusal(world: World, driver: Driver) -> None:
    place = world.places[0]
    wish = replace(world.wish(driver, place), energy_wh=60_000, max_cost=10**9)
    first = await world.requests.request(place.code, wish, driver.sign(wish))
    again = await world.requests.request(place.code, wish, driver.sign(wish))

    assert isinstance(first, NotPromised)
    assert isinstance(again, NotPromised)
    assert again.certificate == first.certificate
    async with world.database.begin() as unit:
        assert len(await unit.refusals(10)) == 1


async def test_energy_beyond_what_the_car_could_take_is_refused_with_a_proof(
    world: World, driver: Driver
) -> None:
    answer = await world.ask(driver, world.places[0], 60_000)
    assert isinstance(answer, NotPromised)
    assert answer.certificate.steps == ()
    assert verify_schedule(answer.record.problem, answer.record.schedule).ok


@pytest.mark.parametrize("number", [0, 1])
async def test_every_offer_of_a_refusal_is_then_accepted(world: World, driver: Driver, number: int) -> None:
    await fill_up(world)
    answer = await world.ask(driver, world.places[3], 20_000)
    assert isinstance(answer, NotPromised)
    energy, departure = answer.record.offers[number]
    taken = await world.ask(driver, world.places[3], energy, departure=unix(departure))
    assert isinstance(taken, Promise)


async def test_one_more_wh_than_the_best_offer_is_refused(world: World, driver: Driver) -> None:
    await fill_up(world)
    answer = await world.ask(driver, world.places[3], 20_000)
    assert isinstance(answer, NotPromised)
    energy, departure = answer.record.offers[0]
    more = await world.ask(driver, world.places[3], energy + 1, departure=unix(departure))
    assert isinstance(more, NotPromised)


async def test_a_promise_once_given_stays_while_others_come(world: World, driver: Driver) -> None:
    first = await world.promised(driver, world.places[0], 15_000)
    promised = [first]
    for number, wh in enumerate((18_000, 18_000, 20_000), 1):
        late = Driver(f"late {number}")
        world.fund(late, wh * PRICE // 1000)
        answer = await world.ask(late, world.places[number], wh)
        if isinstance(answer, Promise):
            promised.append(answer.session)
            plan = answer.plan
            for session in promised:
                row = plan.schedule.row(plan.stored.pseudonyms[session.id.text])
                assert sum(row.wh) == session.terms.energy
    assert 1 < len(promised) < 4


async def test_a_driver_who_opts_out_is_charged_as_soon_as_possible(world: World, driver: Driver) -> None:
    answer = await world.ask(driver, world.places[0], 5_000, flexible=False)
    assert isinstance(answer, Promise)
    row = answer.plan.schedule.row(answer.plan.stored.pseudonyms[answer.session.id.text])
    problem = answer.plan.problem.request(row.id)
    needed = -(-5_000 // problem.max_wh)
    assert problem.departure - problem.arrival == needed
    assert all(row.wh)


async def test_an_opt_out_keeps_its_short_window_when_the_group_is_planned_again(
    world: World, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0], 5_000, flexible=False)
    await world.promised(Driver("flexible one"), world.places[1], 10_000)
    async with world.database.begin() as unit:
        plan, short = await world.planner.replan(unit, world.directory.groups["yard"], world.clock.now())
    problem = plan.problem.request(plan.stored.pseudonyms[session.id.text])
    assert problem.departure - problem.arrival == -(-5_000 // problem.max_wh)
    assert not short


async def test_two_cars_that_ask_at_once_for_one_connector_get_one_promise(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    answers = await asyncio.gather(
        world.ask(driver, world.places[0]), world.ask(neighbour, world.places[0]), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in answers) == ["Promise", "Refused"]
    assert [one.code for one in answers if isinstance(one, EvmeshError)] == ["connector.taken"]


async def test_the_clock_of_a_departure_is_utc(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    assert session.terms.departure.tzinfo is UTC
    assert isinstance(session.terms.payer, Address)


async def test_who_could_not_pay_keeps_nobody_away(world: World, driver: Driver) -> None:
    budget = 5_000 * PRICE // 1000
    world.escrow.balances[driver.address] = budget - 1
    with pytest.raises(Refused) as refused:
        await world.ask(driver, world.places[0])
    assert refused.value.code == "wallet.too_little"
    assert not await world.sessions()
    world.fund(driver, 1)  # a unit in the tab counts as one in the wallet
    assert isinstance(await world.ask(driver, world.places[0]), Promise)


async def test_what_costs_less_than_its_settlement_is_refused(world: World, driver: Driver) -> None:
    with pytest.raises(InvalidInput, match=r"request\.too_small"):
        await world.ask(driver, world.places[0], 285)
    assert isinstance(await world.ask(driver, world.places[0], 286), Promise)


@pytest.mark.parametrize(
    ("status", "free"),
    [
        (ConnectorStatus.CHARGING, False),
        (ConnectorStatus.SUSPENDED_EV, False),
        (ConnectorStatus.SUSPENDED_EVSE, False),
        (ConnectorStatus.FINISHING, False),
        (ConnectorStatus.RESERVED, False),
        (ConnectorStatus.PREPARING, True),
        (ConnectorStatus.AVAILABLE, True),
    ],
)
async def test_a_connector_where_another_car_stands_is_taken(
    world: World, driver: Driver, status: ConnectorStatus, free: bool
) -> None:
    await world.says(world.places[0], status)
    if free:
        assert isinstance(await world.ask(driver, world.places[0]), Promise)
    else:
        with pytest.raises(Refused, match=r"connector\.taken"):
            await world.ask(driver, world.places[0])
