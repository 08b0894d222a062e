"""The vectors that the verifier in TypeScript is held to: they are what the checker in Python says today."""

import json
from pathlib import Path

from evmesh.app.plan import REASONS
from tests.unit.verify.verdict_vectors import vectors_file

COMMITTED = Path(__file__).parents[3] / "web" / "tests" / "verdict-vectors.json"


def test_the_committed_vectors_are_what_the_checker_says() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == vectors_file(), (
        "write it anew: python -m tests.unit.verify.verdict_vectors > web/tests/verdict-vectors.json"
    )


def test_every_code_of_the_checker_occurs_in_newer_vectors() -> None:
    document = json.loads(vectors_file(seed=2, cases=150))
    codes = {code for _, _, _, code, _ in document["vectors"]}
    assert set(REASONS) <= codes
    assert {verdict for _, _, verdict, _, _ in document["vectors"]} == {"true", "false", "unreadable"}
