"""What a receipt says a cap took, held against the plan that took it and its proof."""

from hashlib import sha256

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.money import energy_within
from evmesh.domain.problem_shape import read_problem
from evmesh.domain.receipt import Receipt
from evmesh.verify.case import Case
from evmesh.verify.report import Finding, NotChecked, require
from evmesh.verify.shortfall import verify_shortfall


def shortfall(case: Case) -> Finding:
    """Check that no plan could have left out less in all, and that so much of it is this charge's.

    Whom it hurts is not proven: any split of the same total would do.
    """
    stated, files = case.receipt.shortfall, case.shortfall_files
    if stated is None:
        raise IntegrityFailure("shortfall.none", "the receipt says nothing of a shortfall", path="shortfall")
    asked = _asked(case.receipt)
    require(
        stated.missing_wh <= asked,
        "shortfall.above_request",
        f"{stated.missing_wh} Wh are missing of {asked} Wh",
        "shortfall.missing_wh",
    )
    if files is None:
        return NotChecked("the four files of the plan that left something out were not given")
    for name, raw, named in (
        ("problem", files.problem, stated.problem_sha256),
        ("schedule", files.schedule, stated.schedule_sha256),
        ("wanted", files.wanted, stated.wanted_sha256),
        ("refusal", files.refusal, stated.refusal_sha256),
    ):
        same = sha256(raw).digest() == named
        require(same, "shortfall.other_file", f"not the {name} that the receipt names", f"shortfall.{name}")
    verdict = verify_shortfall(files.wanted, files.refusal, files.problem, files.schedule)
    require(verdict.ok, verdict.code, "the files do not prove that no less could be left out", verdict.path)
    pseudonym = case.receipt.plan.id
    wanted = read_problem(files.wanted).request(pseudonym).energy_wh
    require(
        wanted <= asked,
        "shortfall.more_than_asked",
        f"{wanted} Wh are said to be wanted of {asked} Wh that were asked for",
        "shortfall.wanted_sha256",
    )
    missing = wanted - read_problem(files.problem).request(pseudonym).energy_wh
    require(
        missing == stated.missing_wh,
        "shortfall.other_energy",
        f"the plan leaves out {missing} Wh of this charge, not {stated.missing_wh} Wh",
        "shortfall.missing_wh",
    )
    return f"{missing} Wh of this charge had no place, and no plan could have left out less in all"


def _asked(receipt: Receipt) -> int:
    """Give what was asked for at most: of a transfer, what all that came later pays for too."""
    asked, payment = receipt.request.energy_wh, receipt.payment
    if payment is None:
        return asked
    paid_for = energy_within(payment.budget, receipt.price)
    return MAX_DOCUMENT_INT if paid_for is None else max(asked, paid_for)
