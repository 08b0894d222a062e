"""`evmesh plan solve --candidate ID --proofs DIR`: each offer with its schedule and the refusal of better."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evmesh.app.plan import app

ROOT = Path(__file__).parents[3] / "examples" / "problems"
DOES_NOT_FIT, TREE = ROOT / "does-not-fit.json", ROOT / "tree-does-not-fit.json"

runner = CliRunner()


@pytest.mark.parametrize("problem", [DOES_NOT_FIT, TREE])
def test_each_offer_fits_and_the_next_better_one_is_refused(problem: Path, tmp_path: Path) -> None:
    car = json.loads(problem.read_text())["requests"][0]
    answer, proofs = tmp_path / "answer.json", tmp_path / "proofs"
    asked = ["solve", str(problem), "--candidate", car["id"], "-o", str(answer), "--proofs", str(proofs)]
    assert runner.invoke(app, asked).exit_code == 3
    offers = json.loads(answer.read_text())["offers"]
    assert offers
    for number, offer in enumerate(offers, 1):
        for kind, name, status in (("offer", "schedule", "optimal"), ("better", "refusal", "infeasible")):
            files = [str(proofs / f"{kind}-{number}.{one}.json") for one in ("problem", name)]
            assert runner.invoke(app, ["verify", *files]).exit_code == 0
            assert json.loads(Path(files[1]).read_text())["status"] == status
            wish = next(
                one for one in json.loads(Path(files[0]).read_text())["requests"] if one["id"] == car["id"]
            )
            earlier = kind == "better" and offer["departure"] > car["departure"]
            more = kind == "better" and not earlier
            assert wish["departure"] == offer["departure"] - earlier
            assert wish["energy_wh"] == offer["energy_wh"] + more


def test_proofs_are_for_offers_to_one_request(tmp_path: Path) -> None:
    said = runner.invoke(app, ["solve", str(DOES_NOT_FIT), "--proofs", str(tmp_path)])
    assert said.exit_code == 2
    assert "error plan.no_candidate" in said.stderr
    assert list(tmp_path.iterdir()) == []
