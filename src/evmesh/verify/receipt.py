"""Check a receipt: everything that its members claim of each other, and of what else is at hand.

The list below is what a receipt must show, in the order in which a careful reader would look.
Offline it proves that the receipt is consistent; whose keys they are is for a trust file or the
chain to say. What was not checked is reported as such.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from evmesh.domain.errors import EvmeshError
from evmesh.domain.receipt import Receipt, parse_receipt_json
from evmesh.domain.trust import Trust
from evmesh.ports import MeterSignatures, Signatures
from evmesh.verify import (
    paid_in,
    receipt_chain,
    receipt_meter,
    receipt_money,
    receipt_plan,
    receipt_registry,
    receipt_shortfall,
    receipt_signed,
    receipt_tab,
    receipt_terms,
    receipt_transfer,
)
from evmesh.verify.case import Case, PlanCommitment, PlanFiles, ShortfallFiles
from evmesh.verify.chain_facts import ChainFacts
from evmesh.verify.report import Check, Finding, Report, Status, failed, run

CHECKS: Final[tuple[tuple[str, Callable[[Case], Finding]], ...]] = (
    ("payee signature", receipt_terms.payee_signature),
    ("trusted chain", receipt_terms.trusted_chain),
    ("trusted payee", receipt_terms.trusted_payee),
    ("trusted publisher", receipt_terms.trusted_publisher),
    ("trusted meter", receipt_terms.trusted_meter),
    ("charge request", receipt_terms.charge_request),
    ("session offer", receipt_terms.session_offer),
    ("offer binding", receipt_terms.offer_binding),
    ("station code", receipt_terms.station_code),
    ("readings", receipt_meter.readings),
    ("meter chain", receipt_meter.meter_chain),
    ("signed meter", receipt_signed.signed_meter),
    ("inclusion", receipt_meter.inclusion),
    ("deadlines", receipt_terms.deadlines),
    ("load curve", receipt_meter.load_curve),
    ("energy", receipt_meter.energy),
    ("cost", receipt_money.cost),
    ("due", receipt_money.due),
    ("vouchers", receipt_money.vouchers),
    ("plan row", receipt_plan.plan_row),
    ("plan optimality", receipt_plan.plan_optimality),
    ("registry", receipt_registry.registry),
    ("registered price", receipt_registry.registered_price),
    ("registered meter", receipt_registry.registered_meter),
    ("power", receipt_registry.power),
    ("anchor", receipt_chain.anchor),
    ("settlement", receipt_tab.settlement),
    ("plan commitment", receipt_plan.plan_commitment),
)

OF_TRANSFERS: Final[tuple[tuple[str, Callable[[Case], Finding]], ...]] = (
    ("fee", receipt_transfer.fee),
    ("terms", receipt_transfer.terms),
)
"""What is checked besides of a charge by transfer."""

OF_SHORTFALLS: Final[tuple[tuple[str, Callable[[Case], Finding]], ...]] = (
    ("shortfall", receipt_shortfall.shortfall),
)
"""What is checked besides of a charge that a cap took energy from."""

OF_OTHER_MONEY: Final[tuple[tuple[str, Callable[[Case], Finding]], ...]] = (("paid in", paid_in.of_receipt),)
"""What is checked besides of a charge that was not paid in the site's own money."""


def verify_receipt(
    raw: bytes,
    signatures: Signatures,
    trust: Trust | None = None,
    plan_files: PlanFiles | None = None,
    chain: ChainFacts | None = None,
    commitment: PlanCommitment | None = None,
    meter_signatures: MeterSignatures | None = None,
    shortfall_files: ShortfallFiles | None = None,
) -> Report:
    """Check the bytes of an `evmesh.receipt/1` file; never raises for what is in them.

    `meter_signatures` checks what the meter has signed itself; without it that is not checked.
    """
    form, receipt = _read(raw)
    if receipt is None:
        unread = form[-1].what if form[-1].status is Status.NOT_CHECKED else "the receipt cannot be read"
        return Report(form + tuple(Check(name, Status.NOT_CHECKED, unread) for name, _ in CHECKS))
    case = Case.open(
        receipt, signatures, trust, plan_files, chain, commitment, meter_signatures, shortfall_files
    )
    checks = CHECKS if receipt.payment is None else CHECKS + OF_TRANSFERS
    checks += () if receipt.shortfall is None else OF_SHORTFALLS
    checks += () if receipt.chain.paid_in is None else OF_OTHER_MONEY
    return Report(form + tuple(run(name, partial(check, case)) for name, check in checks))


def _read(raw: bytes) -> tuple[tuple[Check, Check], Receipt | None]:
    """Read the receipt, where it can be, and say so in the first two checks."""
    try:
        document = parse_receipt_json(raw)
    except EvmeshError as error:
        unread = Check("shape", Status.NOT_CHECKED, "it is not canonical JSON")
        return (failed("canonical form", error), unread), None
    canonical = Check("canonical form", Status.OK, f"{len(raw)} bytes of canonical JSON")
    try:
        receipt = Receipt.read(document)
    except EvmeshError as error:
        return (canonical, failed("shape", error)), None
    shape = Check("shape", Status.OK, f"every member of {Receipt.FORMAT}, and no other")
    return (canonical, shape), receipt
