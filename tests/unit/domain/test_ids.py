"""Names are parsed once: what passes is what everybody else may rely on."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, ConnectorRef, EvseId, SessionId, StationId


@given(st.from_regex(r"[A-Z]{2}\*[A-Z0-9]{3}\*E[A-Z0-9*]{1,30}", fullmatch=True))
def test_an_evse_id_is_read_in_any_case_and_written_in_one(text: str) -> None:
    assert EvseId.parse(f"  {text.lower()} ").text == text == str(EvseId.parse(text))


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "DEABCE1",
        "DE*ABC*1",
        "D1*ABC*E1",
        "DE*AB*E1",
        "DE*ABC*E",
        "DE*ABC*E" + "1" * 31,
        "DE*ABC*E1/../x",
        "DE*ABC*E1\nDE*ABC*E2",
        "DE*ABC*E+",
        "DE*AB\u00df*E1",  # ß is SS in upper case
        "DE*ABC*E\u0131",  # a dotless i is I in upper case
        "DE*ABC*E\u0661",  # an Arabic one
    ],
)
def test_what_is_no_evse_id_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        EvseId.parse(raw)
    assert refused.value.code == "evse.malformed_id"


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.=|@-]{0,47}", fullmatch=True))
def test_a_station_id_is_kept_as_it_is(text: str) -> None:
    assert StationId.parse(text).text == text


@pytest.mark.parametrize(
    "raw", ["", " CP1", "CP 1", "CP/1", "../x", ".x", "CP+", "CP#", "C" * 49, "CP\n", "CP\0", "é", "CP%2f"]
)
def test_what_could_not_stand_in_a_path_and_a_topic_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput, match=r"station\.malformed_id"):
        StationId.parse(raw)


@given(st.binary(min_size=20, max_size=20))
def test_an_address_comes_back_from_its_bytes(raw: bytes) -> None:
    address = Address.from_bytes(raw)
    assert address.to_bytes() == raw
    assert Address.parse("0x" + raw.hex().upper()) == address == Address.parse(str(address))


@pytest.mark.parametrize("raw", ["", "0x", "0x" + "1" * 39, "0x" + "1" * 41, "1" * 40, "0x" + "g" * 40])
def test_what_is_no_address_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput):
        Address.parse(raw)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_session_id_is_a_uuid_of_version_7_with_its_time(unix_ms: int, random: bytes) -> None:
    id = SessionId.make(unix_ms, random)
    standard = uuid.UUID(id.text)
    assert (standard.version, standard.variant) == (7, uuid.RFC_4122)
    assert standard.int >> 80 == unix_ms
    assert SessionId.parse(id.text) == id
    assert id.to_bytes32() == standard.bytes + bytes(16)


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_session_ids_sort_by_the_time_of_their_making(unix_ms: int, one: bytes, two: bytes) -> None:
    assert SessionId.make(unix_ms, one) < SessionId.make(unix_ms + 1, two)


@given(st.sets(st.binary(min_size=10, max_size=10), min_size=2))
def test_nearly_all_of_the_random_bytes_count(some: set[bytes]) -> None:
    ids = {SessionId.make(1, random) for random in some}
    cut = {int.from_bytes(random, "big") & (2**74 - 1) for random in some}
    assert len(ids) == len(cut)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "019e81c4-8300-7000-8000-00000000000",
        "019E81C4-8300-7000-8000-000000000000",
        "019e81c4-8300-4000-8000-000000000000",
        "019e81c4-8300-7000-c000-000000000000",
        "019e81c4-8300-7000-8000-000000000000\n",
        "{019e81c4-8300-7000-8000-000000000000}",
        "'; drop table sessions; --",
    ],
)
def test_what_is_no_session_id_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput, match=r"session\.malformed_id"):
        SessionId.parse(raw)


def test_a_refusal_of_hostile_input_stays_short() -> None:
    for parse in (EvseId.parse, StationId.parse, SessionId.parse, Address.parse):
        with pytest.raises(InvalidInput) as refused:
            parse("x" * 1_000_000)
        assert len(refused.value.what) < 200


def test_a_connector_is_named_by_station_and_number() -> None:
    assert str(ConnectorRef(StationId("CP-1"), 2)) == "CP-1/2"


def test_the_time_of_an_id_is_what_the_clock_said() -> None:
    now = datetime(2026, 6, 1, 6, tzinfo=UTC)
    assert SessionId.make(int(now.timestamp() * 1000), bytes(10)).text.startswith("019e81c4-8300-7")
