from decimal import Decimal

import pytest

from evmesh.domain.errors import ProtocolViolation
from evmesh.sim.frames import Call, CallError, CallResult, parse_frame, write_frame


@pytest.mark.parametrize(
    "frame",
    [
        Call("1", "Heartbeat", {}),
        CallResult("1", {"limit": Decimal("6.5"), "text": "né"}),
        CallError("1", "NotSupported", "no"),
    ],
)
def test_a_frame_is_read_as_it_was_written(frame: Call | CallResult | CallError) -> None:
    assert parse_frame(write_frame(frame)) == frame


def test_a_decimal_never_becomes_a_binary_float() -> None:
    frame = parse_frame('[2,"1","X",{"limit":0.1}]')
    assert isinstance(frame, Call)
    assert frame.payload["limit"] == Decimal("0.1")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{}",
        "[]",
        "[2]",
        '[2,"1","X"]',
        '[2,1,"X",{}]',
        '[3,"1",[]]',
        '[4,"1"]',
        '[5,"1","X",{}]',
        '[2,"1","X",{"limit":NaN}]',
        "[" * 3_000,
        "[" * 1_000_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_frame_is_refused(raw: str | bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_frame(raw)
