"""Replay a site's week under each policy and print a table: `python -m bench.replay`."""

import argparse
from itertools import zip_longest

from bench.replay.week import outcomes, table


def main() -> None:
    """Print one table with true, one with stated needs."""
    parser = argparse.ArgumentParser(prog="bench.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--site", choices=["caltech", "jpl", "both"], default="caltech")
    parser.add_argument("--cap-kw", type=float, default=25, help="what the group may draw (25)")
    parser.add_argument(
        "--step-s", type=int, default=900, help="seconds of a step: 900, or 300 as ACN-Sim has it"
    )
    parser.add_argument("--days", type=int, default=7, help="how many days of the week (7)")
    options = parser.parse_args()
    for knowledge in ("true", "stated"):
        found = outcomes(options.site, options.cap_kw, options.step_s, knowledge, options.days)
        print(f"{options.site}, {options.cap_kw:g} kW, steps of {options.step_s} s, {knowledge} needs")
        print_table(table(found, options.step_s))


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows as columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


if __name__ == "__main__":
    main()
