"""The shape of a receipt: what must stand where, and that its reader names what does not."""

from copy import deepcopy
from typing import Any

import pytest

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.receipt import Receipt
from tests.unit.verify.receipt_factory import make_receipt

RAW = make_receipt().encode()

WRONG: list[tuple[str, Any]] = [
    ("format", "evmesh.receipt/2"),
    ("session", "0195504f-6e00-4abc-8def-000000000000"),
    ("chain.chain_id", 0),
    ("chain.charge_tab", "0xZZ"),
    ("station.asset", 0),
    ("station.code", "TTG3H5YTX"),
    ("station.evse_id", "de*abc*e17*1"),
    ("station.charge_point", "a b"),
    ("request.departure", 5),
    ("request_signature", "0x"),
    ("offer.price", "-1"),
    ("offer_signature", None),
    ("start.seq", 0),
    ("start.salt", "0x" + "00" * 31),
    ("start.prev_hash", "0x" + "00" * 33),
    ("start.payload", ""),
    ("start.payload", "x" * 4_001),
    ("start.index", -1),
    ("start.proof", ["0x" + "00" * 32] * 65),
    ("start.proof[0]", "0x00"),
    ("tree.size", 0),
    ("tree.root", "00" * 32),
    ("curve", [[0, 0]] * 20_001),
    ("curve[0]", [0]),
    ("curve[0]", [0, 1, 2]),
    ("curve[0][0]", -1),
    ("curve[0][1]", "1"),
    ("energy_wh", -1),
    ("price", -1),
    ("cost", 3_200_000),
    ("cost", "03200000"),
    ("due", "1.5"),
    ("vouchers[0]", []),
    ("vouchers[0].epoch", "2"),
    ("vouchers[0].cumulative", str(2**96)),
    ("vouchers[0].signature", "0x" + "00" * 65),
    ("plan.start", "2026-03-01T08:00:00"),
    ("plan.step_s", 0),
    ("plan.step_s", 86_401),
    ("plan.row.first", -1),
    ("plan.row.wh[0]", -1),
    ("plan.row.wh", [0] * 2_001),
    ("plan.step_price[0]", None),
    ("payee", "0x" + "AB" * 20),
    ("meter_key.kind", "operator"),
    ("signature", "0x" + "00" * 63),
]


def put(document: Any, path: str, value: Any) -> None:
    *way, last = path.replace("[", ".[").split(".")
    for step in way:
        document = document[int(step[1:-1]) if step.startswith("[") else step]
    document[int(last[1:-1]) if last.startswith("[") else last] = value


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_wrong_value_is_refused_with_its_path(path: str, value: Any) -> None:
    document = deepcopy(parse_canonical_json(RAW))
    put(document, path, value)
    with pytest.raises(InvalidInput) as refused:
        Receipt.parse(canonical_json(document))
    assert refused.value.path == path


def test_a_typical_receipt_is_small() -> None:
    """Eight hours with a point every five minutes stay within 16 kB."""
    receipt = make_receipt(curve=tuple((second, 41_200 + second // 5) for second in range(0, 8 * 3_600, 300)))
    assert len(receipt.encode()) < 16_000
