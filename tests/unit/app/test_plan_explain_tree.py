"""Why a plan over a tree of groups is as it is: facts against the plan itself, and the sentences."""

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from evmesh.app.plan import app
from evmesh.app.plan_tree_facts import TreePlanFacts, TreeRefusalFacts, explain_tree
from evmesh.app.plan_tree_words import tree_sentences
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.schedule_tree import TreePlan
from evmesh.planning.tree import solve_tree
from tests.unit.planning.tree_strategies import crowded_tree, tree_problem

PROBLEMS = Path(__file__).parents[3] / "examples" / "problems"
FITS = PROBLEMS / "tree-feeder-limit.json"
LOSSY = PROBLEMS / "tree-battery-and-v2g.json"
DOES_NOT_FIT = PROBLEMS / "tree-does-not-fit.json"
SVG = "{http://www.w3.org/2000/svg}"

runner = CliRunner()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    folder = tmp_path_factory.mktemp("answers")
    found = {one: str(folder / one.name) for one in (FITS, LOSSY, DOES_NOT_FIT)}
    for problem, answer in found.items():
        runner.invoke(app, ["solve", str(problem), "-o", answer])
    return found


def explained(answers: dict[Path, str], problem: Path, request: str, *more: str) -> str:
    found = runner.invoke(app, ["explain", str(problem), answers[problem], "--request", request, *more])
    assert (found.exit_code, found.stderr) == (0, "")
    return found.stdout


def facts_of(problem: TreeProblem, request: str) -> TreePlanFacts | TreeRefusalFacts:
    return explain_tree(problem, solve_tree(problem), request)


def test_a_price_is_said_cable_by_cable_with_who_shares_the_one_that_is_full(
    answers: dict[Path, str],
) -> None:
    said = explained(answers, FITS, "nurse")
    assert "nurse is at feeder-north, which hangs on transformer." in said
    assert (
        "2026-09-01T17:15:00Z to 2026-09-01T17:30:00Z (1 step): 2,500 Wh at 200,000 micro-currency/kWh"
        " (100,000 from the grid; 100,000 more for the cable of feeder-north: full, shared with 1 other for"
        " 1,400 Wh); 2 others take 2,400 Wh; the grid gives 4,900 Wh." in said
    )
    assert "Its last Wh costs 200,000 micro-currency/kWh; wherever it could take more" in said
    assert "One more Wh would cost at least 200 micro-currency" in said
    assert "as above the root" in explained(answers, FITS, "teacher")


def test_when_it_does_not_charge_is_said_with_the_price(answers: dict[Path, str]) -> None:
    said = explained(answers, FITS, "teacher")
    idle = said[said.index("It does not charge") :]
    assert "where a Wh costs 100,000 or more:" in idle
    assert "17:30:00Z to 2026-09-01T18:00:00Z (2 steps): 200,000 micro-currency/kWh" in idle


def test_a_car_that_gives_back_says_what_stored_energy_is_worth(answers: dict[Path, str]) -> None:
    said = explained(answers, LOSSY, "van")
    assert "of 1,000 Wh stored 881 come out" in said
    takes, gives, waits = (
        said.index(one) for one in ("It takes, at", "It gives back, at", "It waits, too dear")
    )
    assert takes < gives < waits
    assert "worth 334,780 once stored" in said[takes:gives]
    assert "worth 380,000 if it was kept" in said[gives:waits]
    assert "another plan could cost less by Σ Wh × price = 304000." in said


def test_batteries_and_local_supply_on_the_way_are_named(answers: dict[Path, str]) -> None:
    said = explained(answers, LOSSY, "taxi")
    assert "the grid gives 2,000 Wh, all it has; supply at feeder gives 700 Wh, all it has" in said
    assert "battery container gives 2,500 Wh, all it has" in said


def test_a_refusal_says_which_cable_who_needs_it_and_what_would_fit(answers: dict[Path, str]) -> None:
    said = explained(answers, DOES_NOT_FIT, "nurse")
    assert "  the cable of feeder-north, 2026-09-01T17:15:00Z to 2026-09-01T17:30:00Z (1 step)\n" in said
    assert "That can carry 3000 Wh and 3750 are needed there: 750 more." in said
    assert "Of that need 2500 are of this request and 1250 of 1 other." in said
    assert "this request can have at most 1,750 Wh in this window" in said
    assert "This request needs nothing there" in explained(answers, DOES_NOT_FIT, "teacher")


def test_a_program_gets_the_same_facts(answers: dict[Path, str]) -> None:
    found = json.loads(explained(answers, FITS, "nurse", "--json"))
    assert (found["ok"], found["status"], found["path"]) == (True, "optimal", ["feeder-north", "transformer"])
    step = next(one for one in found["steps"] if one["in_wh"])
    assert (step["at"], step["price"], step["grid_price"]) == ("2026-09-01T17:15:00Z", 200_000, 100_000)
    refused = json.loads(explained(answers, DOES_NOT_FIT, "nurse", "--json"))
    assert (refused["status"], refused["deficit"]) == ("infeasible", 750_000)


def test_nothing_is_said_of_a_false_answer_or_of_a_request_that_is_not_there(
    answers: dict[Path, str], tmp_path: Path
) -> None:
    unknown = runner.invoke(app, ["explain", str(FITS), answers[FITS], "--request", "nobody"])
    assert (unknown.exit_code, "problem.unknown_id" in unknown.stderr) == (2, True)
    false = tmp_path / "false.json"
    document = json.loads(Path(answers[FITS]).read_text())
    document["prices"]["groups"][1]["surcharge"][1] = 0
    false.write_text(json.dumps(document))
    found = runner.invoke(app, ["explain", str(FITS), str(false), "--request", "nurse"])
    assert (found.exit_code, found.stdout) == (6, "")


@pytest.mark.parametrize("seed", range(60))
def test_what_is_said_of_a_random_tree_is_true_of_its_plan(seed: int) -> None:
    """Prices add up along the path, only full cables cost, and nobody charges above the own price."""
    problem = tree_problem(random.Random(seed))
    answer = solve_tree(problem)
    for request in problem.requests:
        facts = explain_tree(problem, answer, request.id)
        assert tree_sentences(problem, facts)
        if isinstance(facts, TreeRefusalFacts):
            assert facts.own + facts.others_need - facts.carried == facts.deficit > 0
            continue
        assert isinstance(answer, TreePlan)
        row = next((one for one in answer.rows if one.id == request.id), None)
        for step in facts.steps:
            assert step.price == step.grid_price + sum(cable.surcharge for cable in step.cables)
            assert all(cable.is_full for cable in step.cables if cable.surcharge)
            if row is not None and facts.worth is not None:
                assert step.in_wh == row.at(step.step)
                assert not step.in_wh or step.price <= facts.worth
                assert step.in_wh == request.car.max_wh or step.price >= facts.worth


def test_who_shares_a_full_cable_takes_all_that_it_carries() -> None:
    problem = crowded_tree(random.Random(4), room=1.02)
    answer = solve_tree(problem)
    shared = 0
    for request in problem.requests:
        facts = explain_tree(problem, answer, request.id)
        assert isinstance(facts, TreePlanFacts)
        for step in facts.steps:
            leaf = [cable for cable in step.cables if cable.is_full and cable.group == facts.path[0]]
            for cable in leaf:
                if cable.carries_wh == cable.others_wh + step.in_wh - step.out_wh:
                    shared += 1
    assert shared > 10


def words_of(svg: bytes) -> str:
    return " ".join("".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_a_plan_over_a_tree_is_drawn_as_it_looks_from_above(answers: dict[Path, str], tmp_path: Path) -> None:
    solved, told = tmp_path / "solved.svg", tmp_path / "told.svg"
    runner.invoke(app, ["solve", str(LOSSY), "-o", str(tmp_path / "answer.json"), "--plot", str(solved)])
    explained(answers, LOSSY, "taxi", "--plot", str(told))
    assert solved.read_bytes() == told.read_bytes()
    words = words_of(solved.read_bytes())
    for name in (
        "3 requests, 12,000 Wh",
        "taxi",
        "doctor",
        "van",
        "battery container",
        "capacity",
        "λ",
        "supply at",
    ):
        assert name in words
    given = json.loads(Path(answers[LOSSY]).read_text())
    into = sum(given["batteries"][0]["in_wh"])
    assert f"{into:,} Wh" in words


def test_a_refusal_over_a_tree_is_drawn_with_the_steps_that_are_too_small(
    answers: dict[Path, str], tmp_path: Path
) -> None:
    plot = tmp_path / "no.svg"
    explained(answers, DOES_NOT_FIT, "nurse", "--plot", str(plot))
    assert "Refused: 750 Wh too much" in words_of(plot.read_bytes())
    drawn = ElementTree.fromstring(plot.read_bytes())
    assert len([one for one in drawn.iter(f"{SVG}rect") if one.get("class") == "short"]) == 2


def test_a_battery_with_the_name_of_a_car_has_a_band_of_its_own(tmp_path: Path) -> None:
    document = json.loads(LOSSY.read_text())
    document["requests"][0]["id"] = "battery container"
    problem, answer, plot = tmp_path / "problem.json", tmp_path / "answer.json", tmp_path / "plan.svg"
    problem.write_text(json.dumps(document))
    found = runner.invoke(app, ["solve", str(problem), "-o", str(answer), "--plot", str(plot)])
    assert found.exit_code == 0
    assert "battery no. 1" in words_of(plot.read_bytes())
