"""Is what a charge was paid in money at all? FLEX is its issuer's promise, good at that issuer alone."""

from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef, PaidIn
from evmesh.domain.settlement import Settlement
from evmesh.verify.case import Case, require_contracts
from evmesh.verify.chain_facts import MoneyFacts
from evmesh.verify.followup_case import FollowUp
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require


def of_receipt(case: Case) -> Finding:
    """Check the money of a receipt, where that is not the site's own."""
    if case.chain is None:
        return OFFLINE
    return _good_at(case.receipt.payee, case.receipt.chain, require_contracts(case).money)


def of_settlement(case: FollowUp[Settlement]) -> Finding:
    """Check the money of a settlement, where that is not the site's own."""
    facts, document = case.chain, case.document
    if facts is None:
        return OFFLINE
    if facts.chain_id != document.chain.chain_id or not facts.contract_answers:
        return NotChecked("the node has not the contracts that the settlement names")
    return _good_at(document.payee, document.chain, facts.money)


def _good_at(payee: Address, chain: ChainRef, facts: MoneyFacts | None) -> Finding:
    """Check that the escrow holds the token that is named, and that this is the payee's own promise."""
    named = chain.paid_in
    if named is None or facts is None:
        return NotChecked("it was paid in the site's own money")
    require(
        facts.token == named.token,
        "paid_in.other_token",
        f"the escrow {named.escrow} holds {facts.token}",
        "chain.paid_in.token",
    )
    require(
        facts.issuer is not None,
        "paid_in.no_issuer",
        f"nobody answers for the token {named.token}: it is nobody's promise to charge for",
        "chain.paid_in.token",
    )
    require(
        facts.issuer == payee,
        "paid_in.other_issuer",
        f"the token is the promise of {facts.issuer}, which is not who was paid: there it is no money",
        "chain.paid_in.token",
    )
    return f"{named.token} is the promise of {payee}, and its escrow holds it"


def trusted(chain: ChainRef, flex: PaidIn | None) -> None:
    """Raise IntegrityFailure unless the money is the site's own, or the FLEX that a trust file names."""
    known = "names none" if flex is None else f"names {flex.token} in {flex.escrow}"
    require(
        chain.paid_in in (None, flex),
        "trust.other_money",
        f"it was paid in another money than the site's own, and the trust file {known}",
        "chain.paid_in",
    )
