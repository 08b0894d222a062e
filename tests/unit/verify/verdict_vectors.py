"""What the checker in Python says of many answers, good and tampered with, for another checker to repeat.

    python -m tests.unit.verify.verdict_vectors > web/tests/verdict-vectors.json

One JSON object: `problems` and `answers` are files, as text, or as {"hex"} where they are no UTF-8;
`vectors` are [problem, answer, verdict, code, path], where problem and answer are positions in these, and
the verdict is "true", "false", or "unreadable" for a problem against which nothing can be held. The
same seed and number of cases give the same bytes.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, problem_sha256, write_problem
from evmesh.domain.schedule import write_schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import verify_schedule
from tests.unit.planning.strategies import START
from tests.unit.verify.verdict_damage import (
    NOT_DOCUMENTS,
    ODD_NUMBERS,
    ODD_TEXTS,
    ODD_TIMES,
    damaged,
    with_number,
)

Json = dict[str, Any]


def main() -> None:
    """Write the vectors to stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=12, help="how many problems, each with a dozen answers")
    options = parser.parse_args()
    sys.stdout.write(vectors_file(options.seed, options.cases))


def vectors_file(seed: int = 1, cases: int = 12) -> str:
    """Give the whole file, an item a line."""
    problems: dict[bytes, int] = {}
    answers: dict[bytes, int] = {}
    vectors = []
    for problem, answer in _pairs(seed, cases):
        at = problems.setdefault(problem, len(problems)), answers.setdefault(answer, len(answers))
        vectors.append([*at, *_verdict(problem, answer)])
    parts = {"problems": map(_text, problems), "answers": map(_text, answers), "vectors": vectors}
    lists = [f'"{name}": [\n' + ",\n".join(map(json.dumps, items)) + "\n]" for name, items in parts.items()]
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _text(raw: bytes) -> str | Json:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"hex": raw.hex()}


def _verdict(problem: bytes, answer: bytes) -> tuple[str, str, str]:
    try:
        verdict = verify_schedule(problem, answer)
    except InvalidInput as error:
        return "unreadable", error.code, error.path
    return ("true" if verdict.ok else "false"), verdict.code, verdict.path


def _pairs(seed: int, cases: int) -> Iterator[tuple[bytes, bytes]]:
    """Give problems and answers as the bytes of their files."""
    rng = random.Random(seed)
    yield from _odd_files(rng)
    for number in range(cases):
        problem = _problem(rng, generous=number % 3 > 0, huge=number % 8 == 0)
        raw, answer = write_problem(problem), write_schedule(solve(problem))
        yield raw, answer
        yield from ((raw, _tampered(rng, answer, problem.steps)) for _ in range(6))
        yield from ((raw, damaged(rng, answer)) for _ in range(3))
        broken, changed = damaged(rng, raw), _changed_problem(rng, raw)
        yield broken, _bound(answer, broken)
        yield changed, _bound(answer, changed)


def _odd_files(rng: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Go through every odd time, number and text, and files that are none."""
    small = _problem(random.Random(5), generous=True, huge=False)
    problem, answer = write_problem(small), write_schedule(solve(small))
    for time in ODD_TIMES:
        changed = problem.replace(b'"2026-09-01T06:00:00Z"', f'"{time}"'.encode())
        yield changed, _bound(answer, changed)
    for odd in ODD_NUMBERS:
        changed = with_number(rng, problem, odd)
        yield changed, _bound(answer, changed)
        yield problem, with_number(rng, answer, odd)
    for odd in ODD_TEXTS:
        changed = problem.replace(b'"van"', odd.encode())
        yield changed, _bound(answer, changed)
        yield changed, _bound(answer, changed).replace(b'"van"', odd.encode())
    for other in NOT_DOCUMENTS:
        yield from ((problem, other), (other, answer))


def _problem(rng: random.Random, *, generous: bool, huge: bool) -> Problem:
    steps = rng.randint(1, 7)
    unit = MAX_DOCUMENT_INT // 9 if huge else 1
    supply = [
        SupplySegment(rng.randrange(steps), Wh(rng.randint(0, 9) * unit), Price(_price(rng)))
        for _ in range(rng.randint(0, 2 * steps))
    ]
    if generous:
        dear = [SupplySegment(step, Wh(9 * unit), Price(900 + step % 2)) for step in range(steps)]
        supply += 3 * dear
    cars = []
    for name in ("van", "bus", "🚗 'x'", "hatchback")[: rng.randint(0, 4)]:
        arrival = rng.randrange(steps)
        departure = rng.randint(arrival + 1, steps)
        max_wh = rng.randint(0, 9) * unit
        most = max_wh * (departure - arrival) + rng.choice([0, 0, 0, 0, 0, 1])
        energy_wh = rng.randint(0, min(most, MAX_DOCUMENT_INT))
        cars.append(Request(name, arrival, departure, Wh(energy_wh), Wh(max_wh)))
    return Problem(TimeGrid(START, 900, steps), tuple(supply), tuple(cars))


def _price(rng: random.Random) -> int:
    return rng.choice([-MAX_DOCUMENT_INT, -70, -5, 0, 0, 3, 10, 10, 25, 400, MAX_DOCUMENT_INT])


def _bound(answer: bytes, problem: bytes) -> bytes:
    """Give the answer as one to this problem's bytes, as a careful forger would."""
    document = json.loads(answer)
    return json.dumps({**document, "problem_sha256": problem_sha256(problem)}).encode()


def _tampered(rng: random.Random, answer: bytes, steps: int) -> bytes:
    """Change what an answer says, once or twice; its form stays."""
    document = json.loads(answer)
    for _ in range(rng.randint(1, 2)):
        if document["status"] == "optimal":
            _tamper_yes(rng, document)
        else:
            _tamper_no(rng, document, steps)
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode()


def _tamper_yes(rng: random.Random, document: Json) -> None:
    charging = [row for row in document["rows"] if row["wh"]]
    if charging and rng.random() < 0.6:
        _tamper_row(rng, document["rows"], rng.choice(charging))
        return
    choice = rng.randrange(4)
    if choice == 0:
        document["objective"] = str(int(document["objective"]) + rng.choice([-1, 1]))
    elif choice == 1 and document["step_price"]:
        document["step_price"][rng.randrange(len(document["step_price"]))] += rng.choice([-1, 1, 5, -400])
    elif choice == 2:
        document["step_price"] = document["step_price"][rng.randrange(2) :] + [0] * rng.randrange(2)
        document["rows"].append({"id": rng.choice(["van", "stranger"]), "first": 0, "wh": []})
    else:
        sha256 = document["problem_sha256"]
        document["problem_sha256"] = rng.choice(["0" * 64, "A" * 64, "", sha256 + "0", sha256 + "\n"])


def _tamper_row(rng: random.Random, rows: list[Json], row: Json) -> None:
    wh, choice = row["wh"], rng.randrange(5)
    if choice == 0:
        row["first"] += rng.choice([-1, 1])
    elif choice == 1:  # the total stays
        moved = rng.choice([1, max(wh, default=1)])
        wh.append(0)
        wh[rng.randrange(len(wh))] -= moved
        wh[rng.randrange(len(wh))] += moved
    elif choice == 2:
        wh.append(rng.choice([-1, 1]))
    elif choice == 3:
        rows.remove(row)
        rows += [dict(row)] * rng.choice([0, 2])
    else:
        other = rng.choice(rows)
        row["id"], other["id"] = other["id"], row["id"]


def _tamper_no(rng: random.Random, document: Json, steps: int) -> None:
    choice = rng.randrange(4)
    if choice == 0:
        document["deficit_wh"] += rng.choice([-1, 1, -document["deficit_wh"]])
    elif choice == 1:
        document["steps"] = sorted(set(document["steps"]) ^ {rng.randrange(steps)})
    elif choice == 2:
        document["steps"] = rng.choice([[0, 0], [1, 0], [steps], [-1], list(range(steps))])
    else:
        odd = {"energy_wh": rng.choice([-1, 0, 1]), "departure": rng.choice([0, 1, steps, steps + 1])}
        document["offers"] = [{"energy_wh": 1, "departure": 1}, odd][rng.randrange(2) :]


def _changed_problem(rng: random.Random, raw: bytes) -> bytes:
    """Change one member of a problem, or add or drop one."""
    document = json.loads(raw)
    entries: list[Json] = [*document["supply"], *document["requests"], document]
    entry = rng.choice(entries)
    key, choice = rng.choice(sorted(entry)), rng.randrange(4)
    if choice == 0:
        entry[key] = rng.choice([-1, 0, 1, 86_401, 100_001, MAX_DOCUMENT_INT, "", "van", None, []])
    elif choice == 1:
        del entry[key]
    elif choice == 2:
        entry["note"] = rng.choice([1, None, "x", [], {}])
    else:
        items = document[rng.choice(["supply", "requests"])]
        items.append(rng.choice([7, None, [], {}, *items]))
    return json.dumps(document).encode()


if __name__ == "__main__":
    main()
