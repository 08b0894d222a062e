"""Check the word that a transfer goes back, `evmesh.return/1`, and whether it was kept."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfers import split
from evmesh.domain.trust import Trust
from evmesh.ports import Signatures
from evmesh.verify.case import require_signer
from evmesh.verify.chain_facts import NO_TRANSFER, DepositFacts, ReturnFacts
from evmesh.verify.report import OFFLINE, Check, Finding, NotChecked, Report, Status, require, run
from evmesh.verify.transfer_terms import in_force, require_same, require_terms


@dataclass(frozen=True, slots=True)
class _Case:
    word: TransferReturn
    signatures: Signatures
    trust: Trust | None
    chain: ReturnFacts | None


def verify_return(
    raw: bytes, signatures: Signatures, trust: Trust | None = None, chain: ReturnFacts | None = None
) -> Report:
    """Check the bytes of an `evmesh.return/1` file; never raises for what is in them."""
    form = run("form", partial(_form, raw))
    if form.status is Status.FAILED:
        unread = "the document cannot be read"
        return Report((form, *(Check(name, Status.NOT_CHECKED, unread) for name, _ in _CHECKS)))
    case = _Case(TransferReturn.parse(raw), signatures, trust, chain)
    return Report((form, *(run(name, partial(check, case)) for name, check in _CHECKS)))


def _form(raw: bytes) -> Finding:
    TransferReturn.parse(raw)
    return f"{len(raw)} bytes of canonical JSON, every member and no other"


def _payee_signature(case: _Case) -> Finding:
    word = case.word
    require_signer(
        case.signatures, word.chain.domain, word.payee, word.to_sign(), word.signature, "signature"
    )
    return f"{word.payee} signed all of it"


def _trusted(case: _Case) -> Finding:
    word, trust = case.word, case.trust
    if trust is None:
        return NotChecked("no trust file was given")
    require(word.chain == trust.chain, "trust.other_chain", "another chain or contract", "chain")
    require(
        word.payee in trust.payees, "trust.unknown_payee", f"{word.payee} is not a trusted operator", "payee"
    )
    return f"{word.payee} is a trusted operator"


def _amounts(case: _Case) -> Finding:
    """Check that all that was received goes back, less the fee."""
    word, deposit = case.word, case.word.deposit
    require(
        bool(deposit.transfers) and not deposit.lost,
        "return.no_transfers",
        "it names none",
        "deposit.transfers",
    )
    require(
        all(one.sender == word.payer for one in deposit.transfers),
        "return.other_sender",
        f"not all of the transfers are of {word.payer}",
        "deposit.transfers",
    )
    require(
        deposit.opened_by.of_transaction in {one.ref for one in deposit.transfers},
        "return.not_opened",
        "the transfer that opened the deposit is not among them",
        "deposit.opened_by",
    )
    received = sum(one.amount for one in deposit.transfers)
    parts = split(received, 0, deposit.terms.fee)
    require(
        (deposit.received, deposit.returned, deposit.fee, deposit.kept)
        == (parts.received, parts.returned, parts.fee, parts.kept),
        "return.split_differs",
        f"of {received} {parts.returned} go back, {parts.fee} are the fee, {parts.kept} not worth it",
        "deposit",
    )
    return f"{parts.returned} of {received} go back to {word.payer} ({word.why})"


def _fee(case: _Case) -> Finding:
    """Check that the fee is the one of terms that the operator signed for this charge point, and no third.

    What the chain brings again after it was settled goes back alone, and may be less than opens a deposit.
    """
    word, deposit, path = case.word, case.word.deposit, "deposit.terms"
    require_terms(
        case.signatures,
        deposit.terms,
        path,
        chain=word.chain,
        payee=word.payee,
        deposit_address=deposit.address,
    )
    require_same("station", deposit.terms.station, word.station, path)
    most = max(deposit.fee, deposit.kept)
    is_dear = 3 * most > deposit.received
    if is_dear and deposit.opened_by != deposit.opened_by.of_transaction:
        return NotChecked(
            f"{most} of {deposit.received} do not go back: that it came again, nothing here shows"
        )
    require(
        not is_dear,
        "return.fee_too_high",
        f"{most} of {deposit.received} do not go back: no deposit is opened with less than three fees",
        "deposit",
    )
    return f"{deposit.terms.fee}, as the terms say that the operator signed"


def _terms(case: _Case) -> Finding:
    facts = _deposit_facts(case)
    return facts if isinstance(facts, NotChecked) else in_force(case.word.deposit.terms, facts.made_at)


def _transfers(case: _Case) -> Finding:
    """Check that the chain has the transfers that go back."""
    facts, deposit = _deposit_facts(case), case.word.deposit
    if isinstance(facts, NotChecked):
        return facts
    for number, (one, log) in enumerate(zip(deposit.transfers, facts.transfers, strict=True)):
        path = f"deposit.transfers[{number}]"
        if log is None:
            return NotChecked(f"the node does not have {path} as it is named")
        require(
            log != NO_TRANSFER
            and (log.sender, log.receiver, log.amount) == (one.sender, deposit.address, one.amount),
            "return.transfer_differs",
            "its transaction brought no such transfer",
            path,
        )
    return f"the chain has all {len(deposit.transfers)}"


def _returned(case: _Case) -> Finding:
    """Check that the word was kept: the one payment that has this deposit's nonce was made, and was this."""
    facts, word = _deposit_facts(case), case.word
    if isinstance(facts, NotChecked):
        return facts
    amount = word.deposit.returned
    if not amount:
        return "nothing is to be returned"
    if not facts.return_made:
        return NotChecked(f"not returned yet: {amount}")
    if facts.returned is None:
        return NotChecked("the payment was made; how much it was, the node does not tell any more")
    log = facts.returned
    require(
        (log.sender, log.receiver, log.amount) == (word.deposit.address, word.payer, amount),
        "return.other_payment",
        f"{log.amount} went to {log.receiver}, where {amount} was for {word.payer}",
        "deposit.returned",
    )
    return f"{amount} went back to {word.payer}"


def _deposit_facts(case: _Case) -> DepositFacts | NotChecked:
    facts = case.chain
    if facts is None:
        return OFFLINE
    require(
        facts.chain_id == case.word.chain.chain_id,
        "chain.other_chain",
        f"the node serves chain {facts.chain_id}",
        "chain.chain_id",
    )
    require(facts.deposit is not None, "chain.not_the_contract", "the token is not there", "chain.token")
    return facts.deposit or OFFLINE


_CHECKS: Final[tuple[tuple[str, Callable[[_Case], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("trusted payee", _trusted),
    ("amounts", _amounts),
    ("fee", _fee),
    ("terms", _terms),
    ("transfers", _transfers),
    ("return", _returned),
)
