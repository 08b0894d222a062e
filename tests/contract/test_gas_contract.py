"""What transactions cost: below the design's ceilings, and as the committed snapshot says."""

import json

import pytest

from bench.bench_ledger_gas import run
from bench.figure import Figure
from bench.run import SNAPSHOTS

CEILINGS = {
    "register an EVSE": 95_000,
    "record, each of 100": 2_500,
    "state, each of 6,400": 100,
    "state, each of 100": 370,
    "claim, each of 200": 10_900,
    "refill, each of 100": 22_500,
    "pay a session, 10 a voucher": 2_400,
    "pay a session, 10 a refill": 2_400,
    "pay a session, 10 a voucher, with opening at 200 sessions a tab": 2_900,
    "pay a session, 10 a refill, with opening at 200 sessions a tab": 2_900,
    "anchor": 35_000,
    "anchor, each of 20": 25_000,
    "anchor, each of 100,000 readings": 0.35,
    "message of 200 bytes": 35_000,
    "message of 200 bytes, first under a tag": 53_000,
}


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {figure.name: figure for figure in run()}


@pytest.mark.parametrize("name", CEILINGS)
def test_no_transaction_costs_more_than_was_promised(figures: dict[str, Figure], name: str) -> None:
    assert figures[name].value <= CEILINGS[name]


def test_a_session_costs_a_fiftieth_of_the_plain_way_even_with_refills_and_opening(
    figures: dict[str, Figure],
) -> None:
    ratios = {name: figure.ratio for name, figure in figures.items() if name.startswith("pay a session")}
    assert len(ratios) == 4
    assert all(ratio is not None and ratio >= 50 for ratio in ratios.values()), ratios


def test_the_snapshot_says_what_is_measured(figures: dict[str, Figure]) -> None:
    kept = json.loads((SNAPSHOTS / "ledger_gas.json").read_text())
    measured = {
        name: {"unit": figure.unit, "value": round(figure.value, 3)} for name, figure in figures.items()
    }
    assert measured == kept, 'gas has changed: run `make bench ARGS="ledger_gas"` and judge the diff'
