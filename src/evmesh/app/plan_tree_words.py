"""`evmesh plan explain` over a tree of groups: the facts of one request's plan, as sentences."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from evmesh.app.plan_tree_facts import (
    CableFacts,
    SourceFacts,
    TreePlanFacts,
    TreeRefusalFacts,
    TreeStepFacts,
)
from evmesh.app.plan_words import PRICE, Times, many, runs
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.schedule_tree import BOUNDED, INFEASIBLE, OPTIMAL, write_thousandths

Facts = TreePlanFacts | TreeRefusalFacts


def tree_object(problem: TreeProblem, facts: Facts) -> dict[str, object]:
    """Give the facts for a program: those of `plan_tree_facts.py`, and when the request's steps are."""
    times, car = Times(problem.grid), facts.request.car
    window = {"from": times.begin(car.arrival), "to": times.begin(car.departure)}
    if isinstance(facts, TreeRefusalFacts):
        return {"ok": True, "status": INFEASIBLE, **asdict(facts), "window": window}
    status = BOUNDED if facts.gap_thousandths else OPTIMAL
    steps = [{"at": times.begin(one.step), **asdict(one)} for one in facts.steps]
    return {"ok": True, "status": status, **asdict(facts), "steps": steps, "window": window}


def tree_sentences(problem: TreeProblem, facts: Facts) -> list[str]:
    """Say the facts to a person, a sentence or two a line."""
    times = Times(problem.grid)
    said = _wish(times, facts)
    if isinstance(facts, TreeRefusalFacts):
        return said + _why_not(times, facts)
    said += _battery_says(times, facts) if facts.worth is None else _why_so(times, facts, facts.worth)
    if facts.gap_thousandths:
        least = write_thousandths(facts.gap_thousandths)
        said.append(f"Energy is lost in batteries: another plan could cost less by Σ Wh × price = {least}.")
    return said


def _wish(times: Times, facts: Facts) -> list[str]:
    one = facts.request.car
    where = f"{one.id} is at {facts.path[0]}"
    for above in facts.path[1:]:
        where += f", which hangs on {above}"
    said = [
        f"{one.id} asks for {one.energy_wh:,} Wh between {times.begin(one.arrival)} and"
        f" {times.begin(one.departure)}, at most {one.max_wh:,} Wh a step.",
        f"{where}.",
    ]
    if (v2g := facts.request.v2g) is not None:
        said.append(
            f"It may give back at most {v2g.max_out_wh:,} Wh a step, keeping {v2g.least_wh:,} Wh; of 1,000 Wh"
            f" stored {v2g.efficiency:,} come out."
        )
    return said


def _why_so(times: Times, facts: TreePlanFacts, worth: int) -> list[str]:
    charging = [one for one in facts.steps if one.in_wh]
    if not charging:
        return ["Nothing is to be charged, so no step is used."]
    most = facts.request.car.max_wh
    said = ["It charges, at the price at its group:"]
    for run in runs(charging, lambda one: (*_price_kind(one), one.in_wh == most)):
        pace = f", as fast as it can ({most:,} Wh a step)" if run[0].in_wh == most else ""
        said.append(f"  {_span(times, run)}: {_in(run):,} Wh at {_price(run)}{pace}; {_who(run)}.")
    free = [one for one in facts.steps if one.in_wh < most]
    if free:
        said.append(
            f"Its last Wh costs {worth:,} {PRICE}; wherever it could take more the price is"
            f" {min(one.price for one in free):,} or more."
        )
    else:
        said.append("What binds: its window. It charges as fast as it can in all of it.")
    elsewhere = [one for one in facts.steps if not one.in_wh]
    if elsewhere:
        said.append(f"It does not charge, although it is there, where a Wh costs {worth:,} or more:")
        for run in runs(elsewhere, lambda one: (*_price_kind(one)[1:], one.price > worth)):
            why = "" if run[0].price > worth else ", no less than it pays elsewhere"
            said.append(f"  {_span(times, run)}: {_price(run)}{why}; {_who(run)}.")
    if free:
        least = write_thousandths(worth)
        said.append(
            f"One more Wh would cost at least {least} micro-currency, while others keep their wishes."
        )
    return said


def _battery_says(times: Times, facts: TreePlanFacts) -> list[str]:
    """Say when a car that may give back takes, gives, and waits, and why."""
    said = []
    factor = facts.request.v2g.efficiency if facts.request.v2g is not None else 1_000
    for title, kind in (("It takes", (True, False)), ("It gives back", (False, True))):
        moving = [one for one in facts.steps if (one.in_wh > 0, one.out_wh > 0) == kind]
        for number, run in enumerate(runs(moving, lambda one: (*_price_kind(one), one.stored))):
            said += [f"{title}, at the price at its group:"] if not number else []
            wh = _in(run) if kind[0] else sum(one.out_wh for one in run)
            kept = run[0].stored or 0
            worth = f"{factor * kept // 1_000:,} once stored" if kind[0] else f"{kept:,} if it was kept"
            said.append(f"  {_span(times, run)}: {wh:,} Wh at {_price(run)}, worth {worth}; {_who(run)}.")
    both = [one for one in facts.steps if one.in_wh and one.out_wh]
    said += [
        f"  {_span(times, run)}: {_in(run):,} Wh in and {sum(one.out_wh for one in run):,} Wh out: to lose"
        " energy pays at a negative price."
        for run in runs(both, lambda one: ())
    ]
    waiting = [one for one in facts.steps if not one.in_wh and not one.out_wh]
    for number, run in enumerate(runs(waiting, _price_kind)):
        said += ["It waits, too dear to take and too cheap to give back:"] if not number else []
        said.append(f"  {_span(times, run)}: {_price(run)}.")
    return said or ["Nothing is to be moved, so no step is used."]


def _span(times: Times, run: Sequence[TreeStepFacts]) -> str:
    return times.span(run[0].step, run[-1].step)


def _in(run: Sequence[TreeStepFacts]) -> int:
    return sum(one.in_wh for one in run)


def _price_kind(one: TreeStepFacts) -> tuple[object, ...]:
    cables = tuple((cable.group, cable.surcharge, cable.is_full) for cable in one.cables)
    return one.price, one.grid_price, cables


def _price(run: Sequence[TreeStepFacts]) -> str:
    """Say the price, and what it is made of: above the root, and cable by cable."""
    prices = sorted({one.price for one in run})
    if len(prices) > 1:
        grids = sorted({one.grid_price for one in run})
        above = f"{grids[0]:,}" if len(grids) == 1 else f"{grids[0]:,} to {grids[-1]:,}"
        return f"{prices[0]:,} to {prices[-1]:,} {PRICE} ({above} from the grid{_cables(run)})"
    one = run[0]
    if not one.cables:
        return f"{one.price:,} {PRICE}, as above the root"
    return f"{one.price:,} {PRICE} ({one.grid_price:,} from the grid{_cables(run)})"


def _cables(run: Sequence[TreeStepFacts]) -> str:
    return "".join(_cable([found.cables[at] for found in run]) for at in range(len(run[0].cables)))


def _cable(steps: Sequence[CableFacts]) -> str:
    """Say what a cable adds, why, and with whom it is shared."""
    one = steps[0]
    sign = "more" if one.surcharge > 0 else "less"
    adds = f"{abs(one.surcharge):,} {sign}" if one.surcharge else "nothing more"
    state = "full" if one.is_full else "not full"
    others = max(cable.others for cable in steps)
    wh = sum(cable.others_wh for cable in steps)
    shared = f", shared with {many(others, 'other')} for {wh:,} Wh" if others else ", nobody else below it"
    return f"; {adds} for the cable of {one.group}: {state}{shared}"


def _who(run: Sequence[TreeStepFacts]) -> str:
    """Say who else charges, and what gives the energy."""
    most = max(one.others for one in run)
    company = "nobody else charges then"
    if most:
        at_once = f"up to {many(most, 'other')} at a time take" if len(run) > 1 else _takes(most)
        company = f"{at_once} {sum(one.others_wh for one in run):,} Wh"
    named: dict[str, list[SourceFacts]] = {}
    for step in run:
        for source in step.sources:
            named.setdefault(source.name, []).append(source)
    given = []
    for name, sources in named.items():
        wh = sum(source.wh for source in sources)
        used_up = ", all it has" if wh > 0 and all(source.is_used_up for source in sources) else ""
        given.append(f"{name} {'gives' if wh >= 0 else 'takes'} {abs(wh):,} Wh{used_up}")
    return "; ".join([company, *given])


def _takes(others: int) -> str:
    return f"{many(others, 'other')} {'takes' if others == 1 else 'take'}"


def _why_not(times: Times, facts: TreeRefusalFacts) -> list[str]:
    said = ["Not every request can be met: too much energy must go through too little:"]
    for name, steps in facts.scarce:
        what = "what the grid gives" if name == "the grid" else f"the cable of {name}"
        for _, group in groupby(enumerate(steps), lambda pair: pair[1] - pair[0]):
            run = [step for _, step in group]
            said.append(f"  {what}, {times.span(run[0], run[-1])}")
    unit = "Wh, weighed by the prices of the certificate," if facts.is_weighed else "Wh"
    need, carried, deficit = (
        write_thousandths(wh) for wh in (facts.own + facts.others_need, facts.carried, facts.deficit)
    )
    said.append(f"That can carry {carried} {unit} and {need} are needed there: {deficit} more.")
    said.append(
        f"Of that need {write_thousandths(facts.own)} are of this request and"
        f" {write_thousandths(facts.others_need)} of {many(facts.others, 'other')}."
    )
    if facts.own <= 0:
        said.append("This request needs nothing there: it would be a no without it, too.")
    elif facts.own < facts.deficit:
        said.append("It would be a no without this request, too.")
    elif not facts.is_weighed and facts.request.v2g is None:
        fits = facts.request.car.energy_wh - facts.deficit // 1_000
        said.append(
            f"While the others keep what they ask for, this request can have at most {fits:,} Wh"
            " in this window."
        )
    if facts.offers:
        said.append(
            "Offers in the answer, to the request that it was asked about"
            " (the certificate does not prove them):"
        )
        said += [f"  {one.energy_wh:,} Wh by {times.begin(one.departure)}" for one in facts.offers]
    return said
