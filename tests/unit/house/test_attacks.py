"""The page on testing names a test for each attack; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Attacks on the money")[1].split("\n## ")[0]
ROWS = [row.split(" | ") for row in re.findall(r"^\| (?!attack)(.+) \|$", SECTION, re.MULTILINE)]
NAMED = re.compile(r"`(tests/[\w/]+\.py)`: ((?:`\w+`(?:, )?)+)")


def test_every_attack_has_a_test() -> None:
    assert len(ROWS) > 20
    assert all(NAMED.search(tests) for _, tests in ROWS)


@pytest.mark.parametrize(("attack", "tests"), ROWS, ids=[attack for attack, _ in ROWS])
def test_each_test_that_is_named_exists(attack: str, tests: str) -> None:
    for path, names in NAMED.findall(tests):
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(?:(?:async )?def {name}\(|{name} = )", source, re.MULTILINE), name
