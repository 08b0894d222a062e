"""What it cost, what is due, and whether the driver's vouchers cover it."""

from evmesh.domain.money import cost_of
from evmesh.domain.signed_types import Voucher
from evmesh.verify import receipt_transfer
from evmesh.verify.case import Case
from evmesh.verify.report import Finding, require


def cost(case: Case) -> Finding:
    """Check the cost by the one pricing function."""
    receipt = case.receipt
    exact = cost_of(receipt.energy, receipt.price)
    require(
        receipt.cost == exact,
        "cost.differs",
        f"⌊{receipt.energy} × {receipt.price} ÷ 1000⌋ is {exact}",
        "cost",
    )
    return f"⌊{receipt.energy} Wh × {receipt.price} ÷ 1000⌋ = {exact}"


def due(case: Case) -> Finding:
    """Check that what is due is the cost, or the budget or the highest voucher where that is less.

    Whether the vouchers reach what is due is for the next check to say.
    """
    receipt, offer = case.receipt, case.receipt.offer
    if receipt.payment is not None:
        within = receipt.payment.budget
        exact = min(receipt.cost, within)
        words = f"of {receipt.cost} within {within}, {exact} is due"
        require(receipt.due == exact, "due.differs", words, "due")
        return f"{exact} of {receipt.cost}, within the {within} that was transferred, less the fee"
    exact = min(receipt.cost, offer.budget)
    signed = max((voucher.cumulative for voucher in receipt.vouchers), default=offer.base) - offer.base
    require(
        receipt.due in (exact, min(exact, max(0, signed))),
        "due.differs",
        f"of {receipt.cost} within {offer.budget}, with {signed} signed for, "
        f"{min(exact, max(0, signed))} is due",
        "due",
    )
    if receipt.due < exact:
        return f"{receipt.due} of {receipt.cost}: the vouchers reach no further, the rest is the payee's loss"
    return f"{exact} of {receipt.cost}, within the budget of {offer.budget}"


def vouchers(case: Case) -> Finding:
    """Check that the payer signed each voucher, and that the last covers base and due."""
    receipt, offer = case.receipt, case.receipt.offer
    if receipt.payment is not None:
        return receipt_transfer.transfers(case, receipt.payment)
    highest = offer.base
    for number, signed in enumerate(receipt.vouchers):
        path = f"vouchers[{number}]"
        require(signed.epoch == offer.epoch, "voucher.other_epoch", f"epoch {signed.epoch}", f"{path}.epoch")
        require(
            signed.cumulative > highest,
            "voucher.out_of_order",
            f"{signed.cumulative} is not above {highest}",
            f"{path}.cumulative",
        )
        highest = signed.cumulative
        voucher = Voucher(receipt.payee, signed.epoch, signed.cumulative)
        case.require_party(receipt.request.payer, voucher, signed.signature, f"{path}.signature")
    owed = offer.base + receipt.due
    most = offer.base + offer.budget
    require(highest <= most, "voucher.too_much", f"{highest} is above the offer's {most}", "vouchers")
    require(highest >= owed, "voucher.too_little", f"{highest} does not cover {owed}", "vouchers")
    return f"{len(receipt.vouchers)} signed by {receipt.request.payer} cover {owed}"
