import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.csms import frames
from evmesh.csms.frames import BadFrame, Call, CallError, CallResult

PAYLOADS = st.dictionaries(
    st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=3
)
IDS = st.text(min_size=1, max_size=36)


def test_each_kind_of_frame_is_read() -> None:
    assert frames.decode(b'[2,"1","Heartbeat",{}]') == Call("1", "Heartbeat", {})
    assert frames.decode(b'[3,"1",{"a":1}]') == CallResult("1", {"a": 1})
    assert frames.decode(b'[4,"1","GenericError","why",{"a":1}]') == CallError(
        "1", "GenericError", "why", {"a": 1}
    )


@pytest.mark.parametrize("raw", [b'[4,"1","X"]', b'[4,"1","X",null]', b'[4,"1","X","",null]'])
def test_a_call_error_may_leave_out_all_but_its_code(raw: bytes) -> None:
    assert frames.decode(raw) == CallError("1", "X")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"{}",
        b"[]",
        b"[2]",
        b"null",
        b"[2,null,1,2]",
        b'[2,"","Heartbeat",{}]',
        b'[2,true,"Heartbeat",{}]',
        b'[2,"' + b"x" * 256 + b'","Heartbeat",{}]',
        b'[2,"1","Heartbeat",{}',
        b'[2,"1","Heartbeat",{}]x',
        b"\xff\xfe",
        b'[2,"1","Heartbeat",{"a":1e999}]',
        b"[" * 100_000,
    ],
)
def test_bytes_without_a_readable_id_are_bad_and_carry_none(raw: bytes) -> None:
    frame = frames.decode(raw)
    assert isinstance(frame, BadFrame)
    assert frame.id is None
    assert frame.why


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'[2,"1"]', "has 2"),
        (b'[2,"1","Heartbeat"]', "has 3"),
        (b'[2,"1","Heartbeat",{},{}]', "has 5"),
        (b'[2,"1","Heartbeat",null]', "must be an object, not null"),
        (b'[2,"1","Heartbeat",[]]', "must be an object, not an array"),
        (b'[2,"1",7,{}]', "must be a text, not a number"),
        (b'[7,"1","Heartbeat",{}]', "not 7"),
        (b'["2","1","Heartbeat",{}]', 'not "2"'),
        (b'[2.5,"1","Heartbeat",{}]', "not 2.5"),
        (b'[true,"1","Heartbeat",{}]', "not true"),
        (b'[{"a":[]},"1","Heartbeat",{}]', 'not {"a":[]}'),
    ],
)
def test_a_bad_frame_with_an_id_can_be_answered_and_says_why(raw: bytes, why: str) -> None:
    frame = frames.decode(raw)
    assert isinstance(frame, BadFrame)
    assert frame.id == "1"
    assert frame.answerable
    assert why in frame.why


def test_a_number_for_an_id_is_echoed_as_a_text() -> None:
    assert frames.decode(b'[2,17,"Heartbeat",{}]') == BadFrame(
        "17", "the id must be a text of 1 to 36 characters"
    )


def test_an_answer_whose_id_is_a_number_is_not_answered_either() -> None:
    frame = frames.decode(b"[3,17,{}]")
    assert isinstance(frame, BadFrame)
    assert (frame.id, frame.answerable) == ("17", False)


@pytest.mark.parametrize(
    "raw", [b'[3,"1"]', b'[3,"1",null]', b'[3,"1",{},{}]', b'[4,"1"]', b'[4,"1",5]', b'[4,"1","X","",{},1]']
)
def test_a_broken_answer_is_never_answered(raw: bytes) -> None:
    frame = frames.decode(raw)
    assert isinstance(frame, BadFrame)
    assert (frame.id, frame.answerable) == ("1", False)


def test_brackets_without_end_do_not_overflow_the_stack_whatever_the_recursion_limit_is() -> None:
    program = (
        "import sys\n"
        "from evmesh.csms import frames\n"
        "sys.setrecursionlimit(10**6)\n"  # as `py_ecc` does, which comes with the Ethereum libraries
        "for opening in (b'[', b'{\"a\":', b'[{\"\\\\\":'):\n"
        '    print(frames.decode(b\'[2,"1","Heartbeat",{"a":\' + opening * 300_000).why)\n'
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["nested deeper than 32, or not closed"] * 3


def test_many_shallow_objects_and_brackets_in_texts_are_not_deep() -> None:
    payload = {"meterValue": [{"sampledValue": [{"value": '[[{"\\'}] * 20}] * 50}
    frame = frames.decode(frames.encode_call("1", "MeterValues", payload))
    assert frame == Call("1", "MeterValues", payload)


@given(st.integers(1, 2 * frames.MAX_DEPTH))
def test_the_bound_of_depth_is_exact_and_counts_no_brackets_in_texts(depth: int) -> None:
    payload = {"t": '"]}' * 40, "a": [[]] * 40}
    value: object = "x"
    for _ in range(depth):
        value = [value]
    deep = frames.decode(frames.encode_call("1", "A", {**payload, "d": value}))
    assert isinstance(deep, BadFrame) == (depth + 2 > frames.MAX_DEPTH)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_frame(raw: bytes) -> None:
    assert isinstance(frames.decode(raw), Call | CallResult | CallError | BadFrame)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([2, 3, 4, 9]), st.lists(_JSON, max_size=5))
def test_any_json_array_gives_a_frame(kind: int, rest: list[object]) -> None:
    raw = json.dumps([kind, *rest]).encode()
    assert isinstance(frames.decode(raw), Call | CallResult | CallError | BadFrame)


@given(IDS, st.text(max_size=20), PAYLOADS)
def test_what_is_written_is_read_back(id_: str, word: str, payload: dict[str, object]) -> None:
    assert frames.decode(frames.encode_call(id_, word, payload)) == Call(id_, word, payload)
    assert frames.decode(frames.encode_result(id_, payload)) == CallResult(id_, payload)
    error = CallError(id_, word, word, payload)
    assert frames.decode(frames.encode_error(error)) == error


def test_a_description_is_cut_to_what_the_standard_allows() -> None:
    error = frames.decode(frames.encode_error(CallError("1", "GenericError", "x" * 1_000)))
    assert isinstance(error, CallError)
    assert len(error.description) == 255


def test_a_log_shows_a_bounded_printable_beginning() -> None:
    assert frames.shown(b"[2]\n\x00\xff") == "[2]��\\xff"
    shown = frames.shown(b"x" * 5_000_000)
    assert len(shown) < 400
    assert shown.endswith("(5000000 bytes)")
