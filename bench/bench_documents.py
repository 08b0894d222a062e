"""What strictness costs: our canonical documents against plain `json`."""

import json

from bench.figure import Figure, seconds_per_call
from evmesh.domain.canonical import Json, canonical_json, parse_canonical_json

STEPS, ROWS = 96, 50


def run() -> list[Figure]:
    """Write and read a day's schedule of 50 cars, the largest document that people hand around."""
    document = _schedule()
    raw = canonical_json(document)
    return [
        Figure(
            "write a schedule",
            "ms",
            1_000 * seconds_per_call(lambda: canonical_json(document)),
            1_000
            * seconds_per_call(lambda: json.dumps(document, sort_keys=True, separators=(",", ":")).encode()),
            "json.dumps",
        ),
        Figure(
            "read a schedule",
            "ms",
            1_000 * seconds_per_call(lambda: parse_canonical_json(raw)),
            1_000 * seconds_per_call(lambda: json.loads(raw)),
            "json.loads",
        ),
        Figure("size of a schedule", "bytes", len(raw), exact=True),
    ]


def _schedule() -> Json:
    return {
        "format": "evmesh.schedule/1",
        "status": "optimal",
        "rows": [
            {"id": f"car-{row}", "first": row % STEPS, "wh": [(row * step) % 5_500 for step in range(STEPS)]}
            for row in range(ROWS)
        ],
        "step_price": [(step * 7_919) % 300_000 - 20_000 for step in range(STEPS)],
    }
