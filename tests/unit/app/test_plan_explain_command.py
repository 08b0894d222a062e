"""`evmesh plan explain` and `--plot`: sentences, one object, a drawing; nothing of what does not verify."""

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from evmesh.app.plan import app
from evmesh.app.plan_plot import MOST_BANDS, plot_svg
from evmesh.domain.problem import Problem, Request, write_problem
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from tests.unit.planning.strategies import START, crowded_problem

PROBLEMS = Path(__file__).parents[3] / "examples" / "problems"
FITS, DOES_NOT_FIT = PROBLEMS / "two-cars.json", PROBLEMS / "does-not-fit.json"
SVG = "{http://www.w3.org/2000/svg}"

runner = CliRunner()


@pytest.fixture
def schedule(tmp_path: Path) -> Path:
    path = tmp_path / "schedule.json"
    assert runner.invoke(app, ["solve", str(FITS), "-o", str(path)]).exit_code == 0
    return path


@pytest.fixture
def refusal(tmp_path: Path) -> Path:
    path = tmp_path / "refusal.json"
    arguments = ["solve", str(DOES_NOT_FIT), "-o", str(path), "--candidate", "courier"]
    assert runner.invoke(app, arguments).exit_code == 3
    return path


def test_a_plan_is_explained_in_sentences(schedule: Path) -> None:
    said = runner.invoke(app, ["explain", str(FITS), str(schedule), "--request", "van"])
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "van asks for 5,000 Wh between 2026-09-01T16:00:00Z and 2026-09-01T17:00:00Z,"
        " at most 2,750 Wh a step.",
        "It charges:",
        "  2026-09-01T16:15:00Z to 2026-09-01T16:30:00Z (1 step): 100 Wh at λ 250,000 micro-currency/kWh;"
        " there is room for more, which it does not need; 1 other takes 150 Wh.",
        "  2026-09-01T16:30:00Z to 2026-09-01T16:45:00Z (1 step): 2,150 Wh at λ 250,000 micro-currency/kWh;"
        " the supply of the step is used up, shared; 1 other takes 1,850 Wh, 1 at their own limit.",
        "  2026-09-01T16:45:00Z to 2026-09-01T17:00:00Z (1 step): 2,750 Wh at λ 150,000 micro-currency/kWh,"
        " as fast as it can (2,750 Wh a step); nobody else charges then.",
        "What binds: its own power in 1 of 3 steps, the capacity of the step in 1 of 3 steps."
        " Its window could hold 6,000 Wh more at its own power.",
        "λ is at most 250,000 micro-currency/kWh where it charges and at least 250,000 wherever it could take"
        " more: no step that it could still use is cheaper.",
        "It does not charge, although it is there (it first charges at 2026-09-01T16:15:00Z):",
        "  2026-09-01T16:00:00Z to 2026-09-01T16:15:00Z (1 step): the next Wh costs 300,000"
        " micro-currency/kWh, more than it pays; nobody else charges then.",
        "One more Wh would cost 250 micro-currency.",
    ]
    assert "hatchback" not in said.stdout


def test_a_refusal_is_explained_in_sentences(refusal: Path) -> None:
    said = runner.invoke(app, ["explain", str(DOES_NOT_FIT), str(refusal), "--request", "courier"])
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.splitlines()[1:] == [
        "Not every request can be met: too much energy has no other place than these steps:",
        "  2026-09-01T06:00:00Z to 2026-09-01T06:45:00Z (3 steps)",
        "They supply 7,500 Wh, but 8,500 Wh must go there: 1,000 Wh more.",
        "Of that need 4,500 Wh are of this request and 4,000 Wh of 1 other.",
        "While the others keep what they ask for, this request can have at most 3,500 Wh in this window.",
        "Offers in the answer, to the request that it was asked about (the certificate does not prove them):",
        "  3,500 Wh by 2026-09-01T06:45:00Z",
        "  4,500 Wh by 2026-09-01T07:00:00Z",
    ]


def test_the_facts_come_as_one_object_too(schedule: Path, refusal: Path) -> None:
    yes = runner.invoke(app, ["explain", str(FITS), str(schedule), "--request", "van", "--json"])
    facts = json.loads(yes.stdout)
    assert (facts["ok"], facts["status"], facts["dearest_used"], facts["more_at_most"]) == (
        True,
        "optimal",
        250_000,
        250_000,
    )
    assert facts["steps"][1]["at"] == "2026-09-01T16:15:00Z"
    no = runner.invoke(app, ["explain", str(DOES_NOT_FIT), str(refusal), "--request", "visitor", "--json"])
    facts = json.loads(no.stdout)
    assert (facts["ok"], facts["status"], facts["steps"], facts["fits_at_most_wh"]) == (
        True,
        "infeasible",
        [0, 1, 2],
        None,
    )


def test_nothing_is_said_or_drawn_of_a_schedule_that_does_not_verify(schedule: Path, tmp_path: Path) -> None:
    schedule.write_text(schedule.read_text().replace('"objective":"', '"objective":"1'))
    plot = tmp_path / "plan.svg"
    said = runner.invoke(app, ["explain", str(FITS), str(schedule), "--request", "van", "--plot", str(plot)])
    assert (said.exit_code, said.stdout, plot.exists()) == (6, "", False)
    assert "error schedule.objective_differs" in said.stderr


def test_a_request_that_is_not_there_exits_2(schedule: Path) -> None:
    said = runner.invoke(app, ["explain", str(FITS), str(schedule), "--request", "stranger"])
    assert (said.exit_code, said.stdout) == (2, "")
    assert "error problem.unknown_id" in said.stderr


def test_solve_and_explain_draw_the_same_plan(schedule: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    solved = runner.invoke(app, ["solve", str(FITS), "-o", str(schedule), "--plot", str(first)])
    runner.invoke(app, ["explain", str(FITS), str(schedule), "--request", "van", "--plot", str(second)])
    assert solved.exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    assert "van" in _words(first.read_bytes())


def test_a_refusal_is_drawn_with_the_steps_that_are_too_small(refusal: Path, tmp_path: Path) -> None:
    plot = tmp_path / "no.svg"
    arguments = ["explain", str(DOES_NOT_FIT), str(refusal), "--request", "courier", "--plot", str(plot)]
    assert runner.invoke(app, arguments).exit_code == 0
    drawn = ElementTree.fromstring(plot.read_bytes())
    hatched = [one for one in drawn.iter(f"{SVG}rect") if one.get("class") == "short"]
    assert len(hatched) == 2  # the three steps as one, and the legend
    assert "Refused: 1,000 Wh too much" in _words(plot.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["solve", str(FITS), "--plot", "-"], "file.stdout_twice"),
        (["solve", str(FITS), "-o", "-", "--plot", "no/such/folder/x.svg"], "file.unwritable"),
    ],
)
def test_a_plot_that_cannot_be_is_refused(arguments: list[str], code: str) -> None:
    said = runner.invoke(app, arguments)
    assert said.exit_code == 2
    assert f"error {code}" in said.stderr


def test_ids_are_shown_as_they_are_whatever_is_in_them() -> None:
    odd = "<b>&\"car'</b>"
    problem = crowded_problem(random.Random(1), supply_share=3)
    cars = [Request(odd, 0, 9, Wh(500), Wh(300)), Request("🚗" * 128, 0, 9, Wh(500), Wh(300))]
    drawn = plot_svg(problem.with_requests(cars), solve(problem.with_requests(cars)))
    assert odd in _words(drawn)
    assert "🚗" * 19 + "…" in _words(drawn)


def test_of_many_requests_those_with_most_energy_are_shown_and_the_rest_as_a_sum() -> None:
    problem = crowded_problem(random.Random(1), steps=96, cars=2_000, supply_share=3)
    drawn = plot_svg(problem, solve(problem))
    assert drawn == plot_svg(problem, solve(problem))
    words = _words(drawn)
    assert f"{2_000 - MOST_BANDS:,} others" in words
    assert max(problem.requests, key=lambda one: one.energy_wh).id in words
    assert len(drawn) < 200_000


@pytest.mark.parametrize("steps", [0, 1, 100_000])
def test_empty_and_very_long_horizons_are_drawn(steps: int) -> None:
    problem = Problem(TimeGrid(START, 900, steps), (), ())
    assert write_problem(problem)
    assert "0 requests, 0 Wh" in _words(plot_svg(problem, solve(problem)))


def _words(svg: bytes) -> str:
    """Give all words of a drawing; it must be well-formed."""
    return "\n".join(one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text"))
