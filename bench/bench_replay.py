"""Two crowded days of real sessions, and what a lie earns, in short: figures that no machine changes.

`python -m bench.replay` has the whole week, `docs/planner-figures.md` its tables.
"""

from collections.abc import Iterator

from bench.figure import Figure
from bench.replay.misreport import trials
from bench.replay.outcome import Outcome
from bench.replay.week import outcomes

CAP_KW, STEP_S, DAYS = 25, 900, 2
TRIALS = 400


def run() -> list[Figure]:
    """Replay with true and with stated needs; each of our figures stands beside that of a queue."""
    figures = []
    for knowledge in ("true", "stated"):
        found = {one.policy: one for one in outcomes("caltech", CAP_KW, STEP_S, knowledge, DAYS)}
        figures += list(_compare(f"{knowledge} needs", found))
    lies = list(trials(TRIALS))
    gained = sum(one.gain > 0 and one.wh >= one.honest_wh for one in lies)
    return [
        *figures,
        Figure("lies that earned more for no less energy", "%", 100 * gained / TRIALS, exact=True),
    ]


def _compare(what: str, found: dict[str, Outcome]) -> Iterator[Figure]:
    queue = found["earliest deadline first"]
    for name in ("ours", "ours, on prices alone", "ours, blind to prices"):
        one = found[name]
        yield Figure(
            f"{what}: energy, {name}", "%", _percent(one), _percent(queue), queue.policy, "higher", exact=True
        )
        yield Figure(
            f"{what}: price of energy, {name}", "cent/kWh", _cent(one), _cent(queue), queue.policy, exact=True
        )
        yield Figure(
            f"{what}: promises kept, {name}",
            "%",
            100 * one.kept / one.judged,
            100 * queue.kept / queue.judged,
            queue.policy,
            "higher",
            exact=True,
        )


def _percent(one: Outcome) -> float:
    return 100 * one.energy_wh / one.wanted_wh


def _cent(one: Outcome) -> float:
    return one.cost_millis / one.energy_wh / 10_000
