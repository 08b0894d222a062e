"""Cables that nest, fuses of three lines, outlets of one phase and of three: promises are kept under all."""

import asyncio
import random
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.admission import Accepted, admit
from evmesh.planning.optimiser import solve
from evmesh.services.cabling import shapes_of
from evmesh.services.directory import Group, Node, Place
from evmesh.services.fuses import fuses_of
from evmesh.verify.answer import verify_answer
from tests.fakes.world import open_world, place
from tests.fakes.yard import SAMPLE_MINUTES, Car, Yard

MINUTES = 80
RATING = {1: W(7_360), 3: W(22_080)}
NODES = ("north", "south")

Case = tuple[Group, list[Car], list[int]]


def outlet(number: int, phases: int, node: str = "", line: int = 1) -> Place:
    """Give an outlet on its lines: one, or three beginning with that one."""
    one = place(number, "yard", RATING[phases], phases)
    lines = (line,) if phases == 1 else ((1, 2, 3), (2, 3, 1), (3, 1, 2))[line - 1]
    return replace(one, connector=replace(one.connector, lines=lines), node=node)


@st.composite
def fleets(draw: st.DrawFn, places: tuple[Place, ...]) -> list[Car]:
    fleet = []
    for bay in range(draw(st.integers(2, len(places)))):
        connector = places[bay].connector
        stays = draw(st.integers(36, 60))
        most = connector.rating * stays // 60
        least = 300 if connector.phases == 1 else 900
        fleet.append(
            Car(
                name=f"car {bay}",
                bay=bay,
                comes_at=draw(st.integers(0, 18)),
                stays=stays,
                wh=draw(st.integers(least, most * 3 // 4)),
                flexible=draw(st.booleans()),
            )
        )
    return fleet


@st.composite
def mixed_yards(draw: st.DrawFn) -> Case:
    """Draw outlets of both kinds behind one limit."""
    kinds = draw(st.lists(st.sampled_from([1, 3]), min_size=2, max_size=4))
    places = tuple(outlet(number, phases) for number, phases in enumerate(kinds, 1))
    group = Group("yard", W(draw(st.integers(7_000, 45_000))), places)
    return group, draw(fleets(places)), draw(prices())


@st.composite
def fused_yards(draw: st.DrawFn) -> Case:
    """Draw outlets of both kinds behind the fuses of three lines."""
    kinds = draw(st.lists(st.tuples(st.sampled_from([1, 1, 3]), st.integers(1, 3)), min_size=2, max_size=4))
    places = tuple(outlet(number, phases, line=line) for number, (phases, line) in enumerate(kinds, 1))
    fuse = Milliamp(draw(st.sampled_from([20_000, 32_000, 50_000, 63_000])))
    power = W(draw(st.sampled_from([3 * fuse * 230 // 1_000, 2 * fuse * 230 // 1_000])))
    other, lines = draw(others())
    group = Group("yard", power, places, per_line=fuse, other=other, other_lines=lines)
    return group, draw(fleets(places)), draw(prices())


@st.composite
def trees(draw: st.DrawFn) -> Case:
    """Draw two cabinets on a feeder, other equipment on one of them; one has a kiosk below it."""
    nodes = [
        Node("north", "", W(draw(st.integers(9_000, 24_000))), other=W(draw(st.integers(0, 2_000)))),
        Node("south", "", W(draw(st.integers(9_000, 24_000)))),
    ]
    if draw(st.booleans()):
        nodes.append(Node("kiosk", "north", W(draw(st.integers(7_000, 12_000)))))
    names = [node.name for node in nodes]
    places = tuple(outlet(number, 1, draw(st.sampled_from(names))) for number in range(1, 5))
    group = Group("yard", W(draw(st.integers(12_000, 40_000))), places, nodes=tuple(nodes))
    return group, draw(fleets(places)), draw(prices())


def others() -> st.SearchStrategy[tuple[W, tuple[int, ...]]]:
    """Draw what other equipment takes, and which lines it loads."""
    lines = st.sampled_from([(1, 2, 3), (1,), (2, 3)])
    return st.tuples(st.integers(0, 1_500).map(W), lines)


@st.composite
def nested_fuses(draw: st.DrawFn) -> Case:
    """Draw a cabinet with fuses of lines and a kiosk inside it, which may have its own."""
    fuses = st.sampled_from([Milliamp(20_000), Milliamp(32_000), Milliamp(50_000), None])
    nodes = (
        Node(
            "north",
            "",
            W(draw(st.integers(15_000, 30_000))),
            draw(fuses),
            *draw(others()),
        ),
        Node(
            "kiosk", "north", W(draw(st.integers(9_000, 22_000))), draw(fuses), W(draw(st.integers(0, 900)))
        ),
    )
    kinds = st.tuples(
        st.sampled_from([1, 1, 3]), st.integers(1, 3), st.sampled_from(["", "north", "kiosk", "kiosk"])
    )
    drawn = draw(st.lists(kinds, min_size=2, max_size=4))
    places = tuple(outlet(number, phases, node, line) for number, (phases, line, node) in enumerate(drawn, 1))
    whole = Milliamp(draw(st.sampled_from([32_000, 63_000])))
    group = Group("yard", W(3 * whole * 230 // 1_000), places, per_line=whole, nodes=nodes)
    return group, draw(fleets(places)), draw(prices())


def prices() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-20_000, 100_000), min_size=8, max_size=8)


async def drive(case: Case, minutes: int = MINUTES) -> Yard:
    group, fleet, by_quarter = case
    with tempfile.TemporaryDirectory() as directory:
        opened = open_world(
            Path(directory),
            price_at=lambda at: by_quarter[(at.hour * 4 + at.minute // 15) % len(by_quarter)],
            randomness=random.Random(7).randbytes,
            wired=group,
        )
        async with opened as world:
            yard = Yard(world, fleet)
            await yard.run(minutes, lambda: check_fuses(yard, group))
            async with world.transitions.read() as unit:
                stored = await unit.plan("yard")
            assert stored is not None
            assert verify_answer(stored.problem, stored.schedule).ok
            return yard


def check_fuses(yard: Yard, group: Group) -> None:
    """Add up what stations hold on each cable and line, for now and as long as it would hold without us."""
    now = yard.world.clock.now()
    for fuse in fuses_of(group):
        for minute in range(0, 60):
            at = now + timedelta(minutes=minute)
            carried = sum(
                yard.limit_of(car, at) / share
                for car in yard.plugged()
                if car.session and (share := fuse.shares.get(car.session.terms.connector))
            )
            assert carried <= fuse.capacity + 0.01, f"{carried} W of {fuse.capacity} W at {fuse.name!r}"


def check_promises(yard: Yard, group: Group) -> None:
    event(f"refused: {len(yard.refused)}")
    for car in yard.cars:
        if car.session is not None:
            overshoot = group.places[car.bay].connector.rating * SAMPLE_MINUTES // 60 + 1
            assert car.left_with is not None
            assert car.wh <= car.left_with <= car.wh + overshoot, car
            assert car.session.flags == ()


FEW = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(mixed_yards())
def test_promises_are_kept_where_outlets_of_one_phase_and_of_three_share_a_limit(case: Case) -> None:
    check_promises(asyncio.run(drive(case)), case[0])


@FEW
@given(fused_yards())
def test_promises_are_kept_under_the_fuses_of_three_lines(case: Case) -> None:
    check_promises(asyncio.run(drive(case)), case[0])


@FEW
@given(trees())
def test_promises_are_kept_where_cables_nest(case: Case) -> None:
    check_promises(asyncio.run(drive(case)), case[0])


@FEW
@given(nested_fuses())
def test_promises_are_kept_where_fuses_of_lines_nest(case: Case) -> None:
    check_promises(asyncio.run(drive(case)), case[0])


@settings(max_examples=80, deadline=None)
@given(nested_fuses(), st.data())
def test_what_is_planned_below_fuses_that_nest_flows_through_all_of_them(
    case: Case, data: st.DataObject
) -> None:
    """Each division of the lines, whatever is asked for: no cable and no fuse carries more than it can."""
    group = case[0]
    grid = TimeGrid(datetime(2026, 9, 1, tzinfo=UTC), 900, 2)
    supply = tuple(SupplySegment(step, Wh((group.capacity - group.others) // 4), Price(1)) for step in (0, 1))
    places = {f"car {number}": one for number, one in enumerate(group.places)}
    requests = [
        Request(
            name,
            0,
            2,
            Wh(data.draw(st.integers(0, one.connector.rating // 2))),
            Wh(one.connector.rating // 4),
        )
        for name, one in places.items()
    ]
    for shape in shapes_of(group, grid, supply, places, frozenset(), keeps_reserve=False):
        problem = Problem(grid, supply, (), shape)
        for request in requests:
            answer = admit(problem, request)
            if isinstance(answer, Accepted):
                problem = answer.problem
        plan = solve(problem)
        assert isinstance(plan, Schedule)
        event(f"accepted: {len(problem.requests)}")
        for fuse in fuses_of(group):
            for step in (0, 1):
                carried = sum(
                    row.at(step) / share
                    for row in plan.rows
                    if (share := fuse.shares.get(places[row.id].connector.ref))
                )
                assert carried * 4 <= fuse.capacity + 0.01, fuse.name


@pytest.mark.soak
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(mixed_yards(), fused_yards(), trees(), nested_fuses()))
def test_promises_are_kept_in_many_yards(case: Case) -> None:
    check_promises(asyncio.run(drive(case)), case[0])
