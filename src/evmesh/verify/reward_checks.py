"""Check a reward: that it is what its own numbers give, and that these are the receipt's."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward, flexibility_value, reward_of
from evmesh.domain.strict import unix_seconds
from evmesh.verify.followup_case import NO_RECEIPT, FollowUp
from evmesh.verify.report import Finding, require


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
    if receipt is not None and not receipt.request.flexible:
        exact = 0
    require(document.value == exact, "reward.value_differs", f"the value is {exact}", "value")
    return f"value {exact}"


def share(case: FollowUp[Reward]) -> Finding:
    """Check the reward by its formula, and that what is paid has a transaction."""
    document = case.document
    require(document.value <= document.total, "reward.total_differs", "more than all together", "total")
    exact = reward_of(document.value, document.total, document.avoided, document.share_per_mille)
    require(document.reward == exact, "reward.differs", f"the reward is {exact}", "reward")
    require(
        (document.state == "paid") == bool(document.transactions),
        "reward.state_differs",
        "what is paid, and nothing else, has a transaction",
        "state",
    )
    return f"{exact} units, {document.state}"


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
