"""A charge by plain transfer: whether it fits the transfers that it names, and the money went where it says.

Nobody signed a request; the sender's word is the transfer itself. Offline a receipt is consistent with
the transfers that it names. That they were made, and that the remainder went back, is for a node to say.
"""

from evmesh.domain.ids import Address
from evmesh.domain.receipt_payment import TransferPayment
from evmesh.domain.strict import unix_seconds
from evmesh.domain.transfers import request_nonce, split
from evmesh.verify.case import Case, require_contracts
from evmesh.verify.chain_facts import NO_TRANSFER, DepositFacts, TransferLog
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require
from evmesh.verify.transfer_terms import in_force, require_same, require_terms


def request(case: Case, payment: TransferPayment) -> Finding:
    """Check that the request is the one that these transfers stand for: made of the first, and no other."""
    asked, offer = case.receipt.request, case.receipt.offer
    nonce = request_nonce(payment.salt, payment.opened_by, case.signatures.keccak256)
    require(asked.nonce == nonce, "transfer.other_request", "it is of another transfer", "request.nonce")
    require(
        not asked.flexible, "transfer.flexible", "nobody allowed that a transfer waits", "request.flexible"
    )
    require(
        asked.max_cost == offer.budget,
        "transfer.other_budget",
        f"the offer's budget is {offer.budget}",
        "request.maxCost",
    )
    require((offer.base, offer.epoch) == (0, 0), "transfer.in_a_tab", "a transfer is in no tab", "offer.base")
    return f"nobody signs the request of a transfer; this one is made of {payment.opened_by}"


def transfers(case: Case, payment: TransferPayment) -> Finding:
    """Check that the named transfers are the payer's and cover what is due, and that the chain has them."""
    receipt = case.receipt
    require(not receipt.vouchers, "transfer.with_vouchers", "a transfer has no vouchers", "vouchers")
    for number, one in enumerate(payment.transfers):
        require(
            one.sender == receipt.request.payer,
            "transfer.other_sender",
            f"it is of {one.sender}, the charge of {receipt.request.payer}",
            f"payment.transfers[{number}].sender",
        )
    known = {one.ref for one in payment.transfers}
    require(
        payment.opened_by in known or not receipt.due,
        "transfer.not_opened",
        "the transfer that opened the charge is not among them",
        "payment.opened_by",
    )
    words = f"{len(known)} of {payment.received} in all, {payment.fee} kept for the return"
    if case.chain is None:
        return NotChecked(f"{words}; that they were made, only a node can tell")
    require_contracts(case)
    if case.chain.deposit is None:
        return NotChecked(f"{words}; the node does not tell of the deposit address")
    return _made(case, payment, case.chain.deposit, words)


def _made(case: Case, payment: TransferPayment, facts: DepositFacts, words: str) -> Finding:
    absent = []
    for number, (one, log) in enumerate(zip(payment.transfers, facts.transfers, strict=True)):
        path = f"payment.transfers[{number}]"
        if log is None:
            absent.append(path)
            continue
        require(log != NO_TRANSFER, "transfer.differs", "its transaction brought no such transfer", path)
        require(
            (log.sender, log.receiver, log.amount) == (one.sender, payment.deposit_address, one.amount),
            "transfer.differs",
            f"on chain it is {log.amount} from {log.sender} to {log.receiver}",
            path,
        )
    entry = case.chain.asset if case.chain else None
    if entry is not None and not entry.changed and entry.deposit_address is not None:
        require(
            entry.deposit_address == payment.deposit_address,
            "transfer.other_address",
            f"the registry has the deposit address {entry.deposit_address}",
            "payment.deposit_address",
        )
    if absent:
        return NotChecked(f"{words}; the node does not have {absent[0]} as it is named")
    return f"{words}; the chain has them"


def settlement(case: Case, payment: TransferPayment) -> Finding:
    """Check that what was due was paid out, once, and that the remainder went back to the sender."""
    if case.chain is None:
        return OFFLINE
    require_contracts(case)
    receipt, facts = case.receipt, case.chain.deposit
    if facts is None:
        return NotChecked("the node does not tell of the deposit address")
    if payment.received < receipt.due:
        return NotChecked(f"{receipt.due} was due of {payment.received}: not all of it can be collected")
    parts = split(payment.received, receipt.due, payment.fee)
    collected = parts.received - parts.returned if parts.due else 0
    for what, amount, receiver, made, log in (
        ("due", collected, receipt.payee, facts.due_made, facts.due),
        ("returned", parts.returned, receipt.request.payer, facts.return_made, facts.returned),
    ):
        if amount and not made:
            return NotChecked(f"not {'paid out' if what == 'due' else 'returned'} yet: {amount}")
        if log is not None:
            _require_payment(payment, log, amount, receiver, what)
    if (collected and facts.due is None) or (parts.returned and facts.returned is None):
        return NotChecked("both payments were made; how much they were, the node does not tell any more")
    return (
        f"{parts.due} due and {parts.fee + parts.kept} for the gas to the operator, "
        f"{parts.returned} back to the sender"
    )


def fee(case: Case) -> Finding:
    """Check that the fee is the one of terms that the operator signed for this charge point."""
    receipt = case.receipt
    payment, budget = receipt.payment, receipt.offer.budget
    if payment is None:
        return "no fee: nothing was transferred"
    terms, path = payment.terms, "payment.terms"
    require_terms(
        case.signatures,
        terms,
        path,
        chain=receipt.chain,
        payee=receipt.payee,
        deposit_address=payment.deposit_address,
    )
    require_same("station", terms.station, receipt.station, path)
    require_same("price", terms.price, receipt.price, path)
    require_same("fee", terms.fee, payment.fee, path)
    require(
        2 * payment.fee <= budget,
        "transfer.fee_too_high",
        f"no charge begins with a budget of {budget}, less than two fees of {payment.fee}",
        "payment.fee",
    )
    require(
        unix_seconds(terms.valid_from) <= receipt.request.deadline,
        "transfer.terms_too_late",
        "the terms begin after the charge",
        "payment.terms.valid_from",
    )
    return f"{payment.fee}, and the price, as the terms say that the operator signed"


def terms(case: Case) -> Finding:
    """Check that the terms were in force when one of the transfers was made, as their blocks tell."""
    payment = case.receipt.payment
    if payment is None:
        return "no terms: nothing was transferred"
    if case.chain is None:
        return OFFLINE
    require_contracts(case)
    if case.chain.deposit is None:
        return NotChecked("the node does not tell of the deposit address")
    return in_force(payment.terms, case.chain.deposit.made_at)


def _require_payment(
    payment: TransferPayment, log: TransferLog, amount: int, receiver: Address, what: str
) -> None:
    require(
        (log.sender, log.receiver, log.amount) == (payment.deposit_address, receiver, amount),
        f"transfer.other_{what}",
        f"{log.amount} went to {log.receiver}, where {amount} was for {receiver}",
        "payment",
    )
