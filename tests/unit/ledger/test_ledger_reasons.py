"""Every reason of every contract has words for people, and none is left over."""

import re

import pytest
from eth_abi.abi import encode

from evmesh.domain.errors import Refused
from evmesh.ledger.reasons import REASONS, code_of_reason, reason_of, refused_by_contract
from scripts.compile_contracts import CONTRACTS


def reasons_in_the_sources() -> set[str]:
    text = "".join(path.read_text() for path in CONTRACTS.rglob("*.vy"))
    return set(re.findall(r'"((?:tab|registry|notary|token|status|flex|board): [^"]+)"', text))


def test_every_reason_has_words_and_no_words_are_left_over() -> None:
    assert set(REASONS) == reasons_in_the_sources()
    assert all(what for what, _ in REASONS.values())


def test_no_contract_refuses_without_a_reason() -> None:
    """What an assertion says stands at its end, or on the line that ends it, or is handed to it as `why`."""
    for path in CONTRACTS.rglob("*.vy"):
        for statement in re.findall(r"^ +(?:assert|raise)\b.*$", path.read_text(), re.MULTILINE):
            assert re.search(r', (?:"[a-z]+: [^"]+"|why)$', statement), f"{path.name}: {statement.strip()}"
        assert "UNREACHABLE" not in path.read_text()


def test_every_reason_has_a_code_of_its_own() -> None:
    codes = [code_of_reason(reason) for reason in REASONS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code) for code in codes)
    assert code_of_reason("tab: ceiling past 2^96") == "tab.ceiling_past_2_96"


def test_a_reason_becomes_a_refusal_in_words() -> None:
    error = refused_by_contract("token: balance too small")
    assert (error.code, error.what) == ("token.balance_too_small", "the wallet does not hold that much")
    assert isinstance(error, Refused)


@pytest.mark.parametrize("reason", ["", "ERC20: transfer amount exceeds balance", "x" * 1000])
def test_a_strangers_reason_is_passed_on(reason: str) -> None:
    error = refused_by_contract(reason)
    assert error.code == "chain.reverted"
    assert reason[:200] in error.what


def test_the_reason_is_read_from_a_reverts_data() -> None:
    data = "0x08c379a0" + encode(["string"], ["tab: other epoch"]).hex()
    assert reason_of(data) == reason_of({"data": data}) == "tab: other epoch"
    for nothing in (
        None,
        "",
        "0x",
        "0x08c379a0",
        "0x08c379a0zz",
        "0x4e487b71" + "00" * 32,
        {"data": None},
        7,
    ):
        assert reason_of(nothing) == ""
