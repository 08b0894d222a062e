"""Renew the tables of `docs/planner-figures.md`: `python -m bench.planner_figures [TABLE ...]`.

The page's words are written by hand; each table stands between two comments that name it, and is replaced
as a whole. Speeds are not among them: `bench/snapshots/planning.json` has those.
"""

import argparse
import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.replay import misreport, week

PAGE = Path(__file__).parents[1] / "docs" / "planner-figures.md"
REPLAYS = (("caltech", 25, 300), ("caltech", 25, 900), ("caltech", 50, 900), ("jpl", 100, 900))
"""Site, what the group may draw in kW, seconds of a step."""


def main() -> None:
    """Renew the tables named, or all."""
    made: dict[str, Callable[[], str]] = {"replay": _replay, "misreport": _misreport}
    made["expected"] = _expected
    parser = argparse.ArgumentParser(prog="bench.planner_figures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TABLE", help=f"which: {', '.join(made)} (all of them)")
    names = parser.parse_args().names or list(made)
    if unknown := set(names) - set(made):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    for name in names:
        table = made[name]()  # minutes, in which somebody may have written on the page
        PAGE.write_text(with_table(PAGE.read_text(), name, table))


def with_table(page: str, name: str, table: str) -> str:
    """Give the page with what stands between a table's comments replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    found = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{table}\n\n{end}",
        page,
        flags=re.DOTALL,
    )
    if found[1] != 1:
        raise ValueError(f"the page has not one place for the table {name!r}")
    return found[0]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Give rows as a table, the first one its heading; all columns but the first to the right."""
    rule = ["---", *(["---:"] * (len(rows[0]) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def _expected() -> str:
    from bench import expected_rewards  # needs the tests' world

    return asyncio.run(expected_rewards.example_week())


def _replay() -> str:
    return "\n\n".join(_replays())


def _replays() -> Iterable[str]:
    for site, cap_kw, step_s in REPLAYS:
        for knowledge in ("true", "stated"):
            rows = week.table(week.outcomes(site, cap_kw, step_s, knowledge), step_s)
            yield f"**{site}, {cap_kw} kW, steps of {step_s // 60} minutes, {knowledge} needs**"
            yield markdown(rows)


def _misreport() -> str:
    return markdown(misreport.table(list(misreport.trials(10_000))))


if __name__ == "__main__":
    main()
