"""Messages on channels: one encoding each, frozen, and nothing else is read as one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_messages import CarNeed, MeterData, PowerCap, SessionStatus
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import State
from evmesh.domain.units import W, Wh

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SESSION = SessionId.make(1_780_000_000_000, bytes(10))
STATUS = SessionStatus(
    at=NOON,
    session=SESSION,
    state=State.CHARGING,
    power=W(7_000),
    limit=W(7_360),
    energy=Wh(1_200),
    soc_percent=41,
    cost=420_000,
    finish_at=NOON + timedelta(hours=2),
    reason="planned",
)
CAP = PowerCap(NOON, "cabinet", None, W(40_000), NOON, NOON + timedelta(minutes=30), "hot cable")
NEED = CarNeed(NOON, Wh(8_000), None, NOON + timedelta(hours=5))
DATA = MeterData(17, bytes(32), b"\xa0")
MESSAGES = (STATUS, CAP, NEED, DATA)

instants = st.integers(0, 2**32 - 1).map(lambda second: datetime.fromtimestamp(second, UTC))
watts = st.integers(0, 2**31 - 1).map(W)
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_each_reads_back_and_no_other_format_is_taken_for_it(message: Any) -> None:
    kind = type(message)
    assert kind.parse(message.encode()) == message
    for other in MESSAGES:
        if other is not message:
            with pytest.raises(InvalidInput, match=r"channel\.other_format"):
                kind.parse(other.encode())


def test_the_encodings_are_frozen() -> None:
    assert parse_canonical_cbor(STATUS.encode()) == {
        "format": "evmesh.status/1",
        "at": 1_780_315_200,
        "session": SESSION.text,
        "state": "charging",
        "power_w": 7_000,
        "limit_w": 7_360,
        "energy_wh": 1_200,
        "soc_percent": 41,
        "cost": "420000",
        "finish_at": 1_780_322_400,
        "reason": "planned",
    }
    assert parse_canonical_cbor(CAP.encode()) == {
        "format": "evmesh.cap/1",
        "at": 1_780_315_200,
        "group": "cabinet",
        "evse": None,
        "power_w": 40_000,
        "from": 1_780_315_200,
        "until": 1_780_317_000,
        "reason": "hot cable",
    }
    assert parse_canonical_cbor(NEED.encode()) == {
        "format": "evmesh.need/1",
        "at": 1_780_315_200,
        "energy_wh": 8_000,
        "soc_percent": None,
        "departure": 1_780_333_200,
    }
    assert parse_canonical_cbor(DATA.encode()) == {
        "format": "evmesh.meter-data/1",
        "index": 17,
        "salt": bytes(32),
        "leaf": b"\xa0",
    }


@given(st.none() | watts, instants, st.integers(1, 10**6), words, st.booleans(), words)
def test_any_cap_reads_back(
    power: W | None, start: datetime, length: int, name: str, evse: bool, reason: str
) -> None:
    if start.timestamp() + length >= 2**32:
        return
    cap = PowerCap(
        start,
        None if evse else name,
        name if evse else None,
        power,
        start,
        start + timedelta(seconds=length),
        reason,
    )
    assert PowerCap.parse(cap.encode()) == cap


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_missing_unknown_and_foreign_values_are_refused(message: Any) -> None:
    kind: Any = type(message)
    content: Any = parse_canonical_cbor(message.encode())
    for key in content:
        spoilt = {name: value for name, value in content.items() if name != key}
        with pytest.raises(InvalidInput):
            kind.parse(canonical_cbor(spoilt))
        for value in (-1, "x" * 300, [1], 2**64 - 1):
            with pytest.raises(InvalidInput):
                kind.parse(canonical_cbor(content | {key: value}))
    with pytest.raises(InvalidInput, match=r"cbor\.unknown_key"):
        kind.parse(canonical_cbor(content | {"more": 1}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"evse": "NL*EVM*E1"}, "cap.no_target"),
        ({"group": None}, "cap.no_target"),
        ({"until": 1_780_315_200}, "cap.no_time"),
    ],
)
def test_a_cap_that_makes_no_sense_is_none(changes: dict[str, Any], code: str) -> None:
    content = parse_canonical_cbor(CAP.encode())
    assert isinstance(content, dict)
    with pytest.raises(InvalidInput) as refused:
        PowerCap.parse(canonical_cbor(content | changes))
    assert refused.value.code == code
