"""`evmesh plan explain`: the facts of one request's plan, as sentences and as one object."""

from dataclasses import asdict
from itertools import groupby

from evmesh.app.plan_words import PRICE, Times, many, runs
from evmesh.domain.problem import Problem
from evmesh.domain.schedule import Refusal, Schedule
from evmesh.domain.schedule_tree import write_thousandths
from evmesh.planning.explain import (
    PlanFacts,
    RefusalFacts,
    StepFacts,
    explain_refusal,
    explain_schedule,
)

Json = dict[str, object]
Facts = PlanFacts | RefusalFacts


def explain(problem: Problem, answer: Schedule | Refusal, request_id: str) -> Facts:
    """Give the facts of one request; raises InvalidInput `problem.unknown_id`."""
    if isinstance(answer, Schedule):
        return explain_schedule(problem, answer, request_id)
    return explain_refusal(problem, answer, request_id)


def as_object(problem: Problem, facts: Facts) -> Json:
    """Give the facts for a program: those of `planning/explain.py`, and when the request's steps are."""
    times = Times(problem.grid)
    request = facts.request
    status = "optimal" if isinstance(facts, PlanFacts) else "infeasible"
    window = {"from": times.begin(request.arrival), "to": times.begin(request.departure)}
    found: Json = {"ok": True, "status": status, **asdict(facts), "window": window}
    if isinstance(facts, PlanFacts):
        found["steps"] = [{"at": times.begin(one.step), **asdict(one)} for one in facts.steps]
    return found


def sentences(problem: Problem, facts: Facts) -> list[str]:
    """Say the facts to a person, a sentence or two a line."""
    times = Times(problem.grid)
    said = [_wish(times, facts)]
    said += _why_so(times, facts) if isinstance(facts, PlanFacts) else _why_not(times, facts)
    return said


def _wish(times: Times, facts: Facts) -> str:
    one = facts.request
    return (
        f"{one.id} asks for {one.energy_wh:,} Wh between {times.begin(one.arrival)} and"
        f" {times.begin(one.departure)}, at most {one.max_wh:,} Wh a step."
    )


def _why_so(times: Times, facts: PlanFacts) -> list[str]:
    charging = [one for one in facts.steps if one.wh]
    if not charging:
        return ["Nothing is to be charged, so no step is used."]
    said = ["It charges:"]
    said += [
        f"  {_charging(times, run, facts.request.max_wh)}"
        for run in runs(charging, lambda one: (one.step_price, one.binds, one.others > 0))
    ]
    said += [_what_binds(facts, charging), _cheapest(facts)]
    elsewhere = [one for one in facts.steps if not one.wh]
    if elsewhere:
        said.append(
            f"It does not charge, although it is there (it first charges at {times.begin(charging[0].step)}):"
        )
        alike = runs(elsewhere, lambda one: (one.binds, one.cap_wh > 0, one.cheaper_wh > 0))
        said += [f"  {_idle(times, run, facts)}" for run in alike]
    return [*said, _one_more(facts)]


def _charging(times: Times, run: list[StepFacts], max_wh: int) -> str:
    when = times.span(run[0].step, run[-1].step)
    what = f"{when}: {sum(one.wh for one in run):,} Wh at λ {run[0].step_price:,} {PRICE}"
    binds = run[0].binds
    if binds == "own_power":
        return f"{what}, as fast as it can ({max_wh:,} Wh a step); {_company(run)}."
    if binds == "capacity":
        shared = ", shared" if run[0].others else ""
        return f"{what}; the supply of the step is used up{shared}; {_company(run)}."
    if binds == "price":
        return f"{what}; what is cheaper is used up, the next Wh costs {_next(run)}; {_company(run)}."
    return f"{what}; there is room for more, which it does not need; {_company(run)}."


def _company(run: list[StepFacts]) -> str:
    """Say who else charges: how many at a time, how much in all, how many of them at their own limit."""
    most, limited = max(one.others for one in run), max(one.others_at_limit for one in run)
    if not most:
        return "nobody else charges then"
    at_once = f"up to {many(most, 'other')} at a time take" if len(run) > 1 else _takes(most)
    own_limit = f", {limited:,} at their own limit" if limited else ""
    return f"{at_once} {sum(one.others_wh for one in run):,} Wh{own_limit}"


def _takes(others: int) -> str:
    return f"{many(others, 'other')} {'takes' if others == 1 else 'take'}"


def _what_binds(facts: PlanFacts, charging: list[StepFacts]) -> str:
    request = facts.request
    if facts.cheapest_free is None:
        return (
            "What binds: its window. It charges as fast as it can in all of it, so no other plan is possible."
        )
    counts = {
        "its own power": sum(one.binds == "own_power" for one in charging),
        "the capacity of the step": sum(one.binds == "capacity" for one in charging),
        "the price of what is left": sum(one.binds == "price" for one in charging),
    }
    named = [
        f"{what} in {count:,} of {many(len(charging), 'step')}" for what, count in counts.items() if count
    ]
    if not named:
        return "What binds: nothing but the energy it asks for."
    spare_wh = request.max_wh * request.window_steps - request.energy_wh
    return f"What binds: {', '.join(named)}. Its window could hold {spare_wh:,} Wh more at its own power."


def _cheapest(facts: PlanFacts) -> str:
    dearest = f"λ is at most {facts.dearest_used:,} {PRICE} where it charges"
    if facts.cheapest_free is None:
        return f"{dearest}."
    return (
        f"{dearest} and at least {facts.cheapest_free:,} wherever it could take more:"
        " no step that it could still use is cheaper."
    )


def _idle(times: Times, run: list[StepFacts], facts: PlanFacts) -> str:
    when = times.span(run[0].step, run[-1].step)
    binds = run[0].binds
    if binds == "own_power":
        return f"{when}: it can take no power at all."
    if binds == "capacity" and not run[0].cap_wh:
        return f"{when}: there is no supply."
    if binds == "capacity":
        return f"{when}: full, {sum(one.cap_wh for one in run):,} Wh: {_company(run)}."
    cheaper_wh = sum(one.cheaper_wh for one in run)
    taken = f"the {cheaper_wh:,} Wh that cost less than that are taken, " if cheaper_wh else ""
    if binds == "price":
        return f"{when}: the next Wh costs {_next(run)}, more than it pays; {taken}{_company(run)}."
    return f"{when}: the next Wh costs {_next(run)}, as much as it pays elsewhere; {_company(run)}."


def _next(run: list[StepFacts]) -> str:
    prices = [one.next_price for one in run if one.next_price is not None]
    low, high = min(prices), max(prices)
    return f"{low:,} {PRICE}" if low == high else f"{low:,} to {high:,} {PRICE}"


def _one_more(facts: PlanFacts) -> str:
    least, most = facts.cheapest_free, facts.more_at_most
    if least is None:
        return "One more Wh does not fit: its own power is used to the full in every step of its window."
    if least == most:
        return f"One more Wh would cost {write_thousandths(least)} micro-currency."
    if most is not None:
        return (
            f"One more Wh would cost {write_thousandths(least)} to {write_thousandths(most)} micro-currency."
        )
    return (
        f"One more Wh would cost at least {write_thousandths(least)} micro-currency, if others can make room:"
        " wherever it could take more, the supply is full."
    )


def _why_not(times: Times, facts: RefusalFacts) -> list[str]:
    said = _own_window(facts) if not facts.steps else _too_small(times, facts)
    return [*said, _what_fits(facts), *_offers(times, facts)]


def _own_window(facts: RefusalFacts) -> list[str]:
    said = []
    if facts.forced_wh:
        said.append(
            f"It is refused: even alone it asks for {facts.forced_wh:,} Wh more than its window can hold."
        )
    else:
        said.append("Its own wish is possible alone; the answer is a no because of others.")
    if facts.others:
        said.append(
            f"{many(facts.others, 'other request')} {'asks' if facts.others == 1 else 'ask'} for"
            f" {facts.others_wh:,} Wh more than their own windows can hold."
        )
    return said


def _too_small(times: Times, facts: RefusalFacts) -> list[str]:
    spans = [
        times.span(run[0], run[-1])
        for run in ([step for _, step in group] for _, group in groupby(enumerate(facts.steps), _offset))
    ]
    needed_wh = facts.forced_wh + facts.others_wh
    return [
        "Not every request can be met: too much energy has no other place than these steps:",
        *(f"  {span}" for span in spans),
        f"They supply {facts.cap_wh:,} Wh, but {needed_wh:,} Wh must go there: {facts.deficit_wh:,} Wh more.",
        f"Of that need {facts.forced_wh:,} Wh are of this request and {facts.others_wh:,} Wh of"
        f" {many(facts.others, 'other')}.",
    ]


def _offset(numbered: tuple[int, int]) -> int:
    return numbered[1] - numbered[0]


def _what_fits(facts: RefusalFacts) -> str:
    if facts.fits_at_most_wh is None:
        return "It would be a no without this request, too: the others alone are too much."
    return (
        f"While the others keep what they ask for, this request can have at most {facts.fits_at_most_wh:,} Wh"
        " in this window."
    )


def _offers(times: Times, facts: RefusalFacts) -> list[str]:
    if not facts.offers:
        return []
    return [
        "Offers in the answer, to the request that it was asked about (the certificate does not prove them):",
        *(f"  {one.energy_wh:,} Wh by {times.begin(one.departure)}" for one in facts.offers),
    ]
