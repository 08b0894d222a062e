"""Check a reward: that it is what its own numbers give, that these are the receipt's, that it is paid."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward, certificate_of, flexibility_value, reward_of
from evmesh.domain.strict import unix_seconds
from evmesh.verify.case import require_signer
from evmesh.verify.followup_case import NO_RECEIPT, FollowUp
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require


def value(case: FollowUp[Reward]) -> Finding:
    """Check the value by its formula; who opted out has offered nothing."""
    document = case.document
    lengths = {len(document.metered_wh), len(document.baseline_wh), len(document.step_price)}
    require(len(lengths) == 1, "reward.other_length", "the arrays differ in length", "step_price")
    require(
        sum(document.metered_wh) == sum(document.baseline_wh),
        "reward.baseline_differs",
        "metered and baseline are not the same energy",
        "baseline_wh",
    )
    exact = flexibility_value(document.metered_wh, document.baseline_wh, document.step_price)
    receipt = case.receipt()
    if receipt is None and document.value == 0 < exact:
        return NotChecked("it is 0 where its numbers give more: right for who opted out, as the receipt says")
    if receipt is not None and not receipt.request.flexible:
        exact = 0
    require(document.value == exact, "reward.value_differs", f"the value is {exact}", "value")
    return f"value {exact}"


def share(case: FollowUp[Reward]) -> Finding:
    """Check the reward by its formula, and that all rewards of the holder are not less than this one."""
    document = case.document
    require(document.value <= document.total, "reward.total_differs", "more than all together", "total")
    exact = reward_of(document.value, document.total, document.avoided, document.share_per_mille)
    require(document.reward == exact, "reward.differs", f"the reward is {exact}", "reward")
    require(
        document.cumulative >= document.reward,
        "reward.cumulative_differs",
        "all rewards together are less than this one",
        "cumulative",
    )
    return f"{exact} units"


def energy(case: FollowUp[Reward]) -> Finding:
    """Check that the energy of each step is that of the load curve, and all of it what was billed."""
    receipt, document = case.receipt(), case.document
    if receipt is None:
        return NO_RECEIPT
    metered = sum(document.metered_wh)
    require(metered == receipt.energy, "reward.energy_differs", f"{receipt.energy} Wh metered", "metered_wh")
    begun = Reading.parse(receipt.start.payload).at
    _require_day(document, begun)
    first_s = unix_seconds(document.start) - unix_seconds(begun)
    require(
        -document.step_s < first_s <= 0,
        "reward.other_start",
        "the first step is not the one in which the charge began",
        "start",
    )
    for step, (before, after) in enumerate(pairwise(_registers(receipt, document, first_s))):
        require(
            document.metered_wh[step] == after - before,
            "reward.curve_differs",
            f"the load curve shows {after - before} Wh in this step",
            f"metered_wh[{step}]",
        )
    return f"{metered} Wh, step by step as on the receipt"


def holder(case: FollowUp[Reward]) -> Finding:
    """Check that the reward is the payer's, and vested when the charge ended."""
    receipt, document = case.receipt(), case.document
    if receipt is None:
        return NO_RECEIPT
    payer = receipt.request.payer
    require(document.holder == payer, "reward.other_holder", f"{payer} has paid for the charge", "holder")
    ended = Reading.parse(receipt.stop.payload).at
    require(document.vested_at == ended, "reward.other_end", f"it ended at {ended}", "vested_at")
    return f"it is {payer}'s since {ended:%Y-%m-%d %H:%M:%S} UTC"


def voucher(case: FollowUp[Reward]) -> Finding:
    """Check that the voucher pays this very reward, and that the payee signed it."""
    document = case.document
    if not document.reward:
        return "nothing was earned, so there is nothing to pay"
    if case.voucher_raw is None:
        return NotChecked("the FLEX voucher was not given")
    found = SignedFlexVoucher.parse(case.voucher_raw)
    for name, same in (
        ("chain_id", found.chain_id == document.chain.chain_id),
        ("flex", found.flex == document.flex),
        ("holder", found.voucher.holder == document.holder),
        ("cumulative", found.voucher.cumulative == document.cumulative),
        ("certificate", found.voucher.certificate == certificate_of(document.encode())),
    ):
        require(same, "reward.other_voucher", f"the voucher has another {name}", name)
    require_signer(case.signatures, found.domain, document.payee, found.voucher, found.signature, "signature")
    return f"{document.payee} owes {document.holder} {document.cumulative} units of FLEX in all"


def made(case: FollowUp[Reward]) -> Finding:
    """Check on chain that the token is the payee's promise, and that the units are there."""
    document, facts = case.document, case.flex
    if facts is None:
        return OFFLINE
    same_chain = facts.chain_id == document.chain.chain_id
    require(same_chain, "chain.other_chain", f"the node serves chain {facts.chain_id}", "chain.chain_id")
    require(facts.contract_answers, "chain.not_the_contract", "there is no FlexToken there", "flex")
    require(facts.issuer == document.payee, "reward.other_issuer", f"FLEX of {facts.issuer}", "flex")
    if facts.made < document.cumulative:
        return NotChecked(
            f"{facts.made} of {document.cumulative} units of FLEX are made for {document.holder} so far; "
            "the voucher makes the rest"
        )
    return f"{facts.made} units of FLEX were made for {document.holder}, this reward among them"


def _require_day(document: Reward, begun: datetime) -> None:
    """The day is the local one of the start: some time zone of the world must have it then."""
    zones = (begun.astimezone(UTC) + timedelta(hours=hours) for hours in (-12, 14))
    earliest, latest = (local.date().isoformat() for local in zones)
    require(earliest <= document.day <= latest, "reward.other_day", f"it began on {begun:%Y-%m-%d}", "day")


def _registers(receipt: Receipt, document: Reward, first_s: int) -> list[int]:
    """Give the register at each boundary: between points of the curve energy flows evenly, rounded down."""
    curve, found, at = receipt.curve, list[int](), 0
    for boundary in range(len(document.metered_wh) + 1):
        second = first_s + boundary * document.step_s
        while at + 1 < len(curve) and curve[at + 1][0] <= second:
            at += 1
        here_s, here_wh = curve[at]
        if second <= here_s or at + 1 == len(curve):
            found.append(here_wh)
        else:
            next_s, next_wh = curve[at + 1]
            found.append(here_wh + (next_wh - here_wh) * (second - here_s) // (next_s - here_s))
    return found
