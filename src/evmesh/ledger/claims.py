"""The rows of a batch claim, and what the contract does with each: its rules, told again in Python."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from eth_abi.abi import encode

from evmesh.domain.chain import Claim, Tab
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS
from evmesh.domain.typed_data import Domain
from evmesh.ledger.signatures import compact_words, compacted, keccak256
from evmesh.ledger.vouchers import VoucherCheck

MAX_ROWS: Final = 200


class RowFate(StrEnum):
    """What the contract would do with one row of a claim; the values are stable codes."""

    SETTLED = "settled"
    MALFORMED = "malformed"
    NOT_THE_PAYER = "not_the_payer"
    OTHER_EPOCH = "other_epoch"
    STALE = "stale"
    UNDERFUNDED = "underfunded"


def fates_of(
    claims: Sequence[Claim], tabs: Mapping[Address, Tab], payee: Address, domain: Domain
) -> list[RowFate]:
    """Say what the contract would do with each row, in order; a settled row is seen by those after it."""
    now, fates, vouchers = dict(tabs), [], VoucherCheck(domain, payee)
    for claim in claims:
        tab = now[claim.payer]
        fate = _fate(claim, tab, vouchers)
        if fate is RowFate.SETTLED:
            now[claim.payer] = replace(tab, spent=claim.amount)
        fates.append(fate)
    return fates


def claim_row(claim: Claim) -> list[int]:
    """Give the row of a claim."""
    return row_words(claim.amount, claim.cumulative, claim.epoch, claim.signature)


def row_words(amount: int, cumulative: int, epoch: int, signature: bytes) -> list[int]:
    """Give the three words of a claim row: r, vs, then amount 96 | cumulative 96 | epoch 32."""
    if not (0 <= amount <= MAX_UNITS and 0 <= cumulative <= MAX_UNITS and 0 <= epoch < 2**32):
        raise InvalidInput("claim.malformed", "amounts are below 2^96 and epochs below 2^32")
    return [*compact_words(compacted(signature)), amount | cumulative << 96 | epoch << 192]


def rows_hash(rows: Sequence[Sequence[int]]) -> bytes:
    """Give what a payee signs in `Claim(bytes32 rows, …)`: keccak256(abi.encode(uint256[3][] rows))."""
    return keccak256(encode(["uint256[3][]"], [[list(row) for row in rows]]))


def _fate(claim: Claim, tab: Tab, vouchers: VoucherCheck) -> RowFate:
    if not 0 <= claim.amount <= claim.cumulative <= MAX_UNITS:
        return RowFate.MALFORMED
    try:
        signer = vouchers.payer(claim.epoch, claim.cumulative, claim.signature)
    except IntegrityFailure:
        return RowFate.MALFORMED
    checks = {
        RowFate.NOT_THE_PAYER: signer != claim.payer,
        RowFate.OTHER_EPOCH: claim.epoch != tab.epoch,
        RowFate.STALE: claim.amount <= tab.spent,
        RowFate.UNDERFUNDED: claim.amount > tab.ceiling,
    }
    return next((fate for fate, applies in checks.items() if applies), RowFate.SETTLED)
