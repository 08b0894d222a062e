"""Run the benchmarks and print every figure beside its baseline: `make bench`.

A file `bench/bench_<name>.py` has `run() -> list[Figure]`; nothing else registers it. Each runs in a
process of its own, since what one library loads can slow or break another. `bench/snapshots/<name>.json`
keeps the figures: exact ones (gas, bytes) as they are, timed ones as their ratio to the baseline, so that
a change is a diff that a reader can judge.
"""

import argparse
import importlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench.figure import Figure

HERE = Path(__file__).parent
SNAPSHOTS = HERE / "snapshots"
NOISE = 0.25
"""A ratio that moved by less is the weather of the day: the snapshot keeps the old one."""


def main(arguments: list[str] | None = None) -> int:
    """Run those named, or all; exit 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="bench.run", description="Run bench/bench_*.py.")
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(known)} (all of them)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--no-snapshot", action="store_true", help="leave bench/snapshots as it is")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps([asdict(figure) for figure in _run_here(options.child)]))
        return 0
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no such benchmark: {', '.join(unknown)} (there are: {', '.join(known)})")

    failed = []
    results: dict[str, list[Figure]] = {}
    for name in options.names or known:
        figures = _run_apart(name)
        if figures is None:
            failed.append(name)
            continue
        results[name] = figures
        if not options.no_snapshot:
            _write_snapshot(name, figures)
    if options.json:
        print(
            json.dumps({name: [_as_json(figure) for figure in figures] for name, figures in results.items()})
        )
    else:
        _print_table(results)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


def _run_here(name: str) -> list[Figure]:
    figures: list[Figure] = importlib.import_module(f"bench.bench_{name}").run()
    return figures


def _run_apart(name: str) -> list[Figure] | None:
    child = subprocess.run(
        [sys.executable, "-m", "bench.run", "--child", name],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        return None
    # The figures are the last line: a benchmark may print on its way.
    return [Figure(**fields) for fields in json.loads(child.stdout.splitlines()[-1])]


def _as_json(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "ratio": figure.ratio}


def _write_snapshot(name: str, figures: list[Figure]) -> None:
    SNAPSHOTS.mkdir(exist_ok=True)
    path = SNAPSHOTS / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = {figure.name: _kept(figure, before.get(figure.name, {})) for figure in figures}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _kept(figure: Figure, before: dict[str, object]) -> dict[str, object]:
    if figure.exact:
        return {"unit": figure.unit, "value": round(figure.value, 3)}
    ratio = None if figure.ratio is None else float(f"{figure.ratio:.2g}")
    last = before.get("ratio")
    if ratio is not None and isinstance(last, float) and abs(ratio - last) <= NOISE * last:
        ratio = last
    return {"times_better_than": figure.baseline_name, "ratio": ratio}


def _three_digits(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _print_table(results: dict[str, list[Figure]]) -> None:
    rows = [("figure", "ours", "baseline", "unit", "ratio", "against")]
    for name, figures in results.items():
        rows += [
            (
                f"{name}: {figure.name}",
                f"{figure.value:,.4g}" if figure.value < 10_000 else f"{figure.value:,.0f}",
                "" if figure.baseline is None else f"{figure.baseline:,.4g}",
                figure.unit,
                "" if figure.ratio is None else f"{_three_digits(figure.ratio)}x",
                figure.baseline_name,
            )
            for figure in figures
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in (1, 2, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
