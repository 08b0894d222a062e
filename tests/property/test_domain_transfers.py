"""What became of a deposit adds up, to the unit, whatever was received, due and stated."""

from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.transfers import (
    TransferPolicy,
    TransferRef,
    budget_of,
    payout_nonce,
    request_nonce,
    split,
)
from evmesh.ledger.signatures import keccak256

units = st.integers(0, 2**96)
refs = st.builds(TransferRef, st.binary(min_size=32, max_size=32), st.integers(0, 2**31))


@given(units, units, st.integers(0, 10**9))
def test_nothing_is_made_or_lost(received: int, due: int, fee: int) -> None:
    due = min(due, budget_of(received, fee))
    parts = split(received, due, fee)
    assert parts.received == parts.due + parts.returned + parts.fee + parts.kept
    assert min(parts.due, parts.returned, parts.fee, parts.kept) >= 0
    assert parts.due == due
    assert parts.kept <= fee


@given(units, st.integers(1, 10**9))
def test_what_is_not_charged_for_goes_back_less_the_fee(received: int, fee: int) -> None:
    parts = split(received, 0, fee)
    assert parts.returned == max(0, received - fee)


@given(st.integers(1, 10**6), st.integers(1, 10**13), st.integers(0, 2**31 - 1))
def test_the_minimum_is_worth_its_return(gas: int, gas_price: int, native_price: int) -> None:
    policy = TransferPolicy(native_price=native_price)
    fee = policy.fee(gas, gas_price)
    assert fee * 10**18 >= gas * gas_price * native_price
    assert split(policy.minimum(fee), 0, fee).returned > fee


@given(refs, refs, st.binary(min_size=32, max_size=32))
def test_every_purpose_of_every_deposit_has_its_own_nonce(
    one: TransferRef, other: TransferRef, salt: bytes
) -> None:
    nonces = [
        payout_nonce("due", one, keccak256),
        payout_nonce("return", one, keccak256),
        request_nonce(salt, one, keccak256),
    ]
    if other != one:
        nonces += [payout_nonce("due", other, keccak256), payout_nonce("return", other, keccak256)]
    assert len(set(nonces)) == len(nonces)
    assert TransferRef.parse(one.text) == one
