"""Check what follows a receipt: the settlement and the reward, alone or beside their receipt."""

from collections.abc import Callable
from functools import partial
from typing import Final

from evmesh.domain.errors import EvmeshError
from evmesh.domain.receipt import receipt_hash
from evmesh.domain.reward import Reward
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.ports import Signatures
from evmesh.verify import paid_in, reward_checks, settlement_checks, settlement_deposit
from evmesh.verify.case import require_signer
from evmesh.verify.chain_facts import FlexFacts, SettlementFacts
from evmesh.verify.followup_case import NO_RECEIPT, D, FollowUp
from evmesh.verify.report import Check, Finding, NotChecked, Report, Status, require, run


def verify_settlement(
    raw: bytes,
    signatures: Signatures,
    receipt_raw: bytes | None = None,
    trust: Trust | None = None,
    chain: SettlementFacts | None = None,
) -> Report:
    """Check the bytes of an `evmesh.settlement/1` file; never raises for what is in them."""
    return _verify(raw, Settlement.parse, _settlement_checks, signatures, receipt_raw, trust, chain)


def verify_reward(
    raw: bytes,
    signatures: Signatures,
    receipt_raw: bytes | None = None,
    trust: Trust | None = None,
    voucher_raw: bytes | None = None,
    flex: FlexFacts | None = None,
) -> Report:
    """Check the bytes of an `evmesh.reward/1` file; never raises for what is in them.

    `voucher_raw` is the `evmesh.flex-voucher/1` file that pays it, `flex` what a node says of the token.
    """
    return _verify(
        raw, Reward.parse, lambda _: _REWARD_CHECKS, signatures, receipt_raw, trust, None, voucher_raw, flex
    )


def _settlement_checks(
    settlement: Settlement | None,
) -> tuple[tuple[str, Callable[[FollowUp[Settlement]], Finding]], ...]:
    if settlement is None:
        return _SETTLEMENT_CHECKS
    of_transfers = () if settlement.deposit is None else _OF_TRANSFERS
    of_money = () if settlement.chain.paid_in is None else _OF_OTHER_MONEY
    return _SETTLEMENT_CHECKS + of_transfers + of_money


def _verify(
    raw: bytes,
    parse: Callable[[bytes], D],
    checks_of: Callable[[D | None], tuple[tuple[str, Callable[[FollowUp[D]], Finding]], ...]],
    signatures: Signatures,
    receipt_raw: bytes | None,
    trust: Trust | None,
    chain: SettlementFacts | None,
    voucher_raw: bytes | None = None,
    flex: FlexFacts | None = None,
) -> Report:
    found = [run("form", partial(_form, raw, parse))]
    try:
        document = parse(raw)
    except EvmeshError:
        unread = "the document cannot be read"
        found += [Check(name, Status.NOT_CHECKED, unread) for name, _ in checks_of(None)]
        return Report(tuple(found))
    case = FollowUp(document, signatures, receipt_raw, trust, chain, voucher_raw, flex)
    found += [run(name, partial(check, case)) for name, check in checks_of(document)]
    return Report(tuple(found))


def _form(raw: bytes, parse: Callable[[bytes], object]) -> Finding:
    parse(raw)
    return f"{len(raw)} bytes of canonical JSON, every member and no other"


def _payee_signature(case: FollowUp[D]) -> Finding:
    document = case.document
    require_signer(
        case.signatures,
        document.chain.domain,
        document.payee,
        document.to_sign(),
        document.signature,
        "signature",
    )
    return f"{document.payee} signed all of it"


def _trusted(case: FollowUp[D]) -> Finding:
    if case.trust is None:
        return NotChecked("no trust file was given")
    document = case.document
    own = document.chain.site == case.trust.chain
    require(own, "trust.other_chain", "another chain or contract", "chain")
    paid_in.trusted(document.chain, case.trust.flex)
    require(
        document.payee in case.trust.payees,
        "trust.unknown_payee",
        f"{document.payee} is not a trusted operator",
        "payee",
    )
    return f"{document.payee} is a trusted operator"


def _names_receipt(case: FollowUp[D]) -> Finding:
    receipt, document = case.receipt(), case.document
    if receipt is None or case.receipt_raw is None:
        return NO_RECEIPT
    require(
        document.receipt_sha256 == receipt_hash(case.receipt_raw),
        "followup.other_receipt",
        "it names another receipt",
        "receipt_sha256",
    )
    # A reward is paid in new FLEX, whatever the charge was paid in.
    chain = receipt.chain if document.FORMAT == Settlement.FORMAT else receipt.chain.site
    for name, same in (
        ("session", document.session == receipt.session),
        ("chain", document.chain == chain),
        ("payee", document.payee == receipt.payee),
    ):
        require(same, f"followup.other_{name}", f"the receipt has another {name}", name)
    return "it names this receipt"


_SETTLEMENT_CHECKS: Final[tuple[tuple[str, Callable[[FollowUp[Settlement]], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("trusted payee", _trusted),
    ("receipt", _names_receipt),
    ("stated amount", settlement_checks.stated_amount),
    ("transactions", settlement_checks.transactions),
)
_OF_TRANSFERS: Final[tuple[tuple[str, Callable[[FollowUp[Settlement]], Finding]], ...]] = (
    ("fee", settlement_deposit.fee),
)
_OF_OTHER_MONEY: Final[tuple[tuple[str, Callable[[FollowUp[Settlement]], Finding]], ...]] = (
    ("paid in", paid_in.of_settlement),
)
_REWARD_CHECKS: Final[tuple[tuple[str, Callable[[FollowUp[Reward]], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("trusted payee", _trusted),
    ("receipt", _names_receipt),
    ("value", reward_checks.value),
    ("share", reward_checks.share),
    ("energy", reward_checks.energy),
    ("holder", reward_checks.holder),
    ("voucher", reward_checks.voucher),
    ("made", reward_checks.made),
)
