"""Settlements and rewards of the factory's receipt, and ways to change and sign them again."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

from evmesh.domain.flex_voucher import SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.reward import Reward, certificate_of
from evmesh.domain.settlement import Settlement, TransactionRef
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import digest
from tests.unit.verify.keys import Key, keccak256
from tests.unit.verify.receipt_factory import OPERATOR, START, sign

FLEX = Address("0x" + "f5" * 20)
TRANSACTION = TransactionRef(sha256(b"claim").digest(), 41)


def make_settlement(receipt: Receipt, key: Key = OPERATOR, /, **changes: Any) -> Settlement:
    settlement = Settlement(
        receipt_sha256=receipt_hash(receipt.encode()),
        session=receipt.session,
        chain=receipt.chain,
        kind="claim",
        payer=receipt.request.payer,
        amount=receipt.due,
        transactions=(TRANSACTION,),
        payee=receipt.payee,
    )
    changed = replace(settlement, **changes)
    return changed.signed(sign(key, changed.to_sign(), changed.chain))


def make_reward(receipt: Receipt, key: Key = OPERATOR, /, **changes: Any) -> Reward:
    """Ours waited for 4,500 Wh that were 100,000 micro-currency per kWh cheaper one step later."""
    reward = Reward(
        receipt_sha256=receipt_hash(receipt.encode()),
        session=receipt.session,
        chain=receipt.chain,
        flex=FLEX,
        holder=receipt.request.payer,
        group="cabinet-3",
        day="2026-03-01",
        start=START,
        step_s=900,
        metered_wh=(1_000, 5_500, 1_500),
        baseline_wh=(5_500, 2_500, 0),
        step_price=(300_000, 200_000, 200_000),
        value=450_000_000,
        total=600_000_000,
        avoided=400_000_000,
        share_per_mille=500,
        reward=150_000,
        cumulative=250_000,
        vested_at=Reading.parse(receipt.stop.payload).at,
        payee=receipt.payee,
    )
    changed = replace(reward, **changes)
    return changed.signed(sign(key, changed.to_sign(), changed.chain))


def make_flex_voucher(reward: Reward, key: Key = OPERATOR, /, **changes: Any) -> SignedFlexVoucher:
    """Give the voucher that pays a reward; `changes` are to what is signed."""
    voucher = FlexVoucher(reward.holder, reward.cumulative, certificate_of(reward.encode()))
    voucher = replace(voucher, **changes)
    domain = flex_domain(reward.chain.chain_id, reward.flex)
    signature = key.sign(digest(domain, voucher, keccak256))
    return SignedFlexVoucher(reward.chain.chain_id, reward.flex, voucher, signature)
