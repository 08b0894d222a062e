"""Whoever changes anything in a receipt, without the payee's key, is found out."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from evmesh.verify.receipt import verify_receipt
from tests.unit.verify import tampering
from tests.unit.verify.receipt_factory import SIGNATURES, make_receipt

RAW = make_receipt().encode()


def accepted(changes: Iterator[tuple[Any, bytes]], at_least: int) -> list[Any]:
    """Give where a change went through; there must be enough changes for that to mean something."""
    found, count = [], 0
    for where, raw in changes:
        count += 1
        if verify_receipt(raw, SIGNATURES).ok:
            found.append(where)
    assert count >= at_least
    return found


def test_the_receipt_under_attack_is_a_true_one() -> None:
    assert accepted(iter([("as it is", RAW)]), 1) == ["as it is"]


@pytest.mark.timeout(600)
def test_every_single_changed_byte_is_refused() -> None:
    assert accepted(tampering.byte_changes(RAW, seed=0), len(RAW)) == []


@pytest.mark.timeout(600)
def test_whichever_bit_of_a_byte_is_changed_it_is_refused() -> None:
    sample = islice(tampering.byte_changes(RAW, seed=1), 0, None, 4)
    assert accepted(sample, len(RAW) // 4) == []


def test_every_missing_and_every_doubled_byte_is_refused() -> None:
    assert accepted(tampering.length_changes(RAW, every=7), len(RAW) // 3) == []


@pytest.mark.parametrize(
    ("changes", "at_least"),
    [(tampering.value_changes, 500), (tampering.key_changes, 80), (tampering.list_changes, 30)],
)
def test_every_change_that_is_encoded_canonically_is_refused(
    changes: Callable[[bytes], Iterator[tuple[Any, bytes]]], at_least: int
) -> None:
    assert accepted(changes(RAW), at_least) == []
