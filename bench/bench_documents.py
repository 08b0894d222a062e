"""What strictness costs, against plain `json`; and what a receipt weighs and takes to check."""

import json

from bench.figure import Figure, seconds_per_call
from evmesh.domain.canonical import Json, canonical_json, parse_canonical_json
from evmesh.domain.receipt import Receipt
from evmesh.domain.typed_data import digest
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from tests.unit.verify.typical_receipt import typical_receipt

STEPS, ROWS = 96, 50


def run() -> list[Figure]:
    """Handle the largest document that people hand around, and the one that most of them get."""
    return [*_of_a_schedule(), *_of_a_receipt()]


def _of_a_schedule() -> list[Figure]:
    """Write and read a day's schedule of 50 cars."""
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


def _of_a_receipt() -> list[Figure]:
    """Check a receipt offline: four hours with 481 points, two proofs in a tree of 100,000 leaves."""
    receipt, signatures = typical_receipt(), EthereumSignatures()
    raw = receipt.encode()
    report = verify_receipt(raw, signatures)
    if not report.ok:
        raise AssertionError([check.what for check in report.failed()])
    return [
        Figure("size of a receipt with its curve", "bytes", len(raw), exact=True),
        Figure(
            "verify a receipt offline",
            "ms",
            1_000 * seconds_per_call(lambda: verify_receipt(raw, signatures)),
            1_000 * seconds_per_call(lambda: _recover_all(receipt, signatures)),
            "recovering its 7 signers alone",
        ),
    ]


def _recover_all(receipt: Receipt, signatures: EthereumSignatures) -> None:
    """Do what no checker can leave out: one recovery for each signature that a receipt has."""
    hashed = digest(receipt.chain.domain, receipt.request, signatures.keccak256)
    for _ in range(7):
        signatures.recover(hashed, receipt.request_signature)


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
