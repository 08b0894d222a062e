"""A cap below what promises need: the least in all is lost, those it hurts are told, and it is made up."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evmesh.app.snapshot import Snapshots
from evmesh.app.verify import app
from evmesh.domain.caps import Cap
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.problem_shape import read_problem
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_shortfall import Shortfall
from evmesh.domain.sessions import Session
from evmesh.domain.trust import Trust
from evmesh.domain.units import W, Wh
from evmesh.services.promises import DIMMED
from evmesh.verify.case import Case, ShortfallFiles
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.receipt_shortfall import shortfall
from evmesh.verify.report import Status
from evmesh.verify.schedule import Verdict
from evmesh.verify.shortfall import verify_shortfall
from tests.fakes.world import OPERATOR, SIGNATURES, World, open_world
from tests.fakes.yard import Car, Yard

MINUTE = timedelta(minutes=1)
SOURCE = "city grid"


def dim(world: World, power: int, minutes: int) -> Cap:
    now = world.clock.now()
    return Cap("yard", SOURCE, W(power), now, now + minutes * MINUTE, "§ 14a EnWG")


def run_yard(
    fleet: list[Car],
    minutes: int,
    at: dict[int, Callable[[World], Awaitable[None]]],
    capacity: int = 14_000,
    floor: int = 0,
) -> tuple[Yard, list[list[Session]]]:
    """Run cars; `at` holds what happens before the control of a minute. Give the sessions by minute."""
    seen: list[list[Session]] = []

    async def run() -> Yard:
        with tempfile.TemporaryDirectory() as directory:
            async with open_world(Path(directory), capacity=capacity, price_at=lambda _: 50_000) as world:
                group = replace(world.directory.groups["yard"], floor=W(floor), floor_each=W(floor // 4))
                world.directory.groups = {"yard": group}
                yard = Yard(world, fleet)
                for minute in range(minutes):
                    if minute in at:
                        await at[minute](world)
                    await yard.run(1)
                    seen.append(await world.sessions())
                return yard

    return asyncio.run(run()), seen


def two_cars() -> list[Car]:
    return [Car("older", 0, 0, 90, 6_000), Car("younger", 1, 1, 89, 6_000)]


async def shown(world: World) -> dict[int, tuple[int, list[str]]]:
    """Give, by bay, what the page says is missing, and the flags."""
    snapshots = Snapshots(world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps)
    async with world.transitions.read() as unit:
        return {
            int(one["code"] == world.places[1].code): (one["short_wh"], one["flags"])
            for one in await snapshots.sessions(unit)
        }


def test_who_loses_is_told_how_much_and_the_plan_proves_that_less_could_not_be_lost() -> None:
    facts: list[dict[int, tuple[int, list[str]]]] = []
    verdicts: list[Verdict] = []

    async def dimmed(world: World) -> None:
        await world.caps.put(dim(world, 2_000, 90))

    async def look(world: World) -> None:
        facts.append(await shown(world))
        async with world.transitions.read() as unit:
            stored = await unit.plan("yard")
        assert stored is not None
        if stored.wanted is not None and stored.shortfall is not None:
            verdicts.append(
                verify_shortfall(stored.wanted, stored.shortfall, stored.problem, stored.schedule)
            )

    yard, _ = run_yard(two_cars(), 92, {4: look, 5: dimmed, 6: look})
    before, after = facts
    assert before == {0: (0, []), 1: (0, [])}
    assert after[1][0] > 3_000  # the promise that is younger gives way first
    assert after[1][1] == [DIMMED]
    assert after[0][0] + after[1][0] > 6_000
    assert verdicts == [Verdict(True)]
    ended = [car.session for car in yard.cars]
    assert all(one is not None and one.flags == (DIMMED,) for one in ended)
    assert yard.peak_w <= 14_000


def test_what_a_cap_took_is_made_up_for_when_it_is_lifted_in_time() -> None:
    async def dimmed(world: World) -> None:
        await world.caps.put(dim(world, 1_500, 85))

    async def lifted(world: World) -> None:
        assert await world.caps.lift("yard", SOURCE, "over")

    yard, seen = run_yard(two_cars(), 92, {3: dimmed, 20: lifted})
    assert {flag for one in seen[10] for flag in one.flags} == {DIMMED}
    assert all(one.flags == () for one in seen[21])
    for car in yard.cars:
        assert car.session is not None
        assert car.session.flags == ()
        assert (car.left_with or 0) >= car.wh


def test_under_the_floor_each_charge_point_keeps_its_share_and_nobody_pushes_it_lower() -> None:
    async def switched_off(world: World) -> None:
        await world.caps.put(dim(world, 0, 90))

    fleet = [Car("older", 0, 0, 75, 6_000), Car("younger", 1, 0, 75, 6_000), Car("third", 2, 0, 75, 5_000)]
    yard, seen = run_yard(fleet, 77, {2: switched_off}, capacity=20_000, floor=4 * 1_500)
    for car in yard.cars:
        assert car.left_with is not None
        assert car.left_with >= 1_500 * 60 // 60 - 100  # an hour of its share at the least
    assert sum(car.left_with or 0 for car in yard.cars) > 6_000  # and all of the floor is used
    assert any(DIMMED in one.flags for one in seen[5])


def test_a_cap_that_takes_nothing_from_anybody_flags_nobody() -> None:
    async def dimmed(world: World) -> None:
        await world.caps.put(dim(world, 10_000, 30))

    yard, seen = run_yard(two_cars(), 92, {3: dimmed})
    assert all(one.flags == () for sessions in seen for one in sessions)
    assert all((car.left_with or 0) >= car.wh for car in yard.cars)


def test_what_a_stray_draws_is_in_no_plan_and_the_page_says_how_good_the_dispatch_is() -> None:
    loads: list[int] = []
    pages: list[dict[str, int] | None] = []

    async def stray(world: World) -> None:
        world.live.note_stray(world.places[3].connector.ref, 99)

    async def look(world: World) -> None:
        group = world.directory.groups["yard"]
        async with world.transitions.read() as unit:
            plan, _ = await world.planner.replan(unit, group, world.clock.now())
            snapshots = Snapshots(
                world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps
            )
            pages.append((await snapshots.groups(unit))[0]["dispatch"])
        loads.append(max(plan.problem.capacities()))

    run_yard(two_cars(), 8, {4: look, 5: stray, 7: look}, capacity=14_000)
    assert loads[0] > 3_000
    assert loads[1] <= (14_000 - 7_360) // 4  # its outlet's rating is left to it
    first = pages[0]
    assert first is not None
    assert first["placed_wh"] > 0
    assert 0 <= first["gap_wh"] == max(0, first["bound_wh"] - first["placed_wh"])
    assert first["bound_wh"] <= first["due_wh"] + 1


async def shortfall_files(world: World, shortfall: Shortfall) -> ShortfallFiles:
    async with world.transitions.read() as unit:
        stored = await unit.plan_of(shortfall.schedule_sha256.hex())
    assert stored is not None
    assert stored.wanted is not None
    assert stored.shortfall is not None
    return ShortfallFiles(stored.problem, stored.schedule, stored.wanted, stored.shortfall)


def test_the_receipt_names_what_a_cap_took_and_its_proof_and_a_false_word_of_it_is_found_out(
    tmp_path: Path,
) -> None:
    cars = two_cars()
    receipts: list[tuple[Receipt, ShortfallFiles, Trust]] = []

    async def dimmed(world: World) -> None:
        await world.caps.put(dim(world, 2_000, 90))

    async def over(world: World) -> None:
        for session in await world.sessions(open_only=False):
            receipt = Receipt.parse(await world.document(session, Receipt.FORMAT))
            assert receipt.shortfall is not None
            receipts.append((receipt, await shortfall_files(world, receipt.shortfall), world.trust()))

    run_yard(cars, 93, {5: dimmed, 92: over})
    assert len(receipts) == 2
    for receipt, files, trust in receipts:
        assert receipt.shortfall is not None
        offline = verify_receipt(receipt.encode(), SIGNATURES, trust)
        assert offline.ok
        assert offline.checks[-1].status is Status.NOT_CHECKED
        report = verify_receipt(receipt.encode(), SIGNATURES, trust, shortfall_files=files)
        assert report.ok, report.failed()
        assert "no plan could have left out less" in report.checks[-1].what
        others = replace(files, wanted=files.problem)
        assert checked(receipt, others) == "shortfall.other_file"
        more = replace(receipt.shortfall, missing_wh=Wh(receipt.shortfall.missing_wh - 1))
        assert checked(replace(receipt, shortfall=more), files) == "shortfall.other_energy"
        all_of_it = replace(receipt.shortfall, missing_wh=Wh(receipt.request.energy_wh + 1))
        assert checked(replace(receipt, shortfall=all_of_it), None) == "shortfall.above_request"

    found_out = {checked(small_asker(receipt, files), files) for receipt, files, _ in receipts}
    assert "shortfall.more_than_asked" in found_out

    receipt, files, _ = receipts[0]
    names = ("problem", "schedule", "wanted", "shortfall")
    for name, raw in zip(names, (files.problem, files.schedule, files.wanted, files.refusal), strict=True):
        (tmp_path / f"{name}.json").write_bytes(raw)
    (tmp_path / "receipt.json").write_bytes(receipt.encode())
    arguments = ["receipt", str(tmp_path / "receipt.json"), "--shortfall", str(tmp_path)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0
    assert "of this charge had no place" in found.stdout


def checked(receipt: Receipt, files: ShortfallFiles | None) -> str:
    """Give the code of what the check of the shortfall finds."""
    case = Case.open(receipt, SIGNATURES, None, None, None, shortfall_files=files)
    with pytest.raises(IntegrityFailure) as caught:
        shortfall(case)
    return caught.value.code


def small_asker(receipt: Receipt, files: ShortfallFiles) -> Receipt:
    """Give the receipt of one who asked for a Wh less than the files say was wanted."""
    wanted = read_problem(files.wanted).request(receipt.plan.id).energy_wh
    return replace(receipt, request=replace(receipt.request, energy_wh=Wh(wanted - 1)))
