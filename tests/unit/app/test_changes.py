"""What a page is sent makes of what it shows exactly what there is, and little of it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evmesh.app.changes import changes, written
from tests.drivers.changes import changed

ITEMS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 9), "wh": st.integers(0, 3), "flags": st.lists(st.booleans())}
    ),
    max_size=6,
    unique_by=lambda item: item["id"],
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "now": st.text(max_size=3),
        "plan": st.none() | st.fixed_dictionaries({"load": st.lists(st.integers(0, 9), max_size=5)}),
        "sessions": ITEMS,
        "power": st.none() | st.integers() | st.booleans(),
        "mixed": st.one_of(st.lists(st.integers()), st.integers(), st.lists(st.lists(st.integers(0, 2)))),
    }
)


def in_order(document: Any) -> str:
    """Tell true from 1, which Python does not."""
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_what_changed_makes_the_new_document_of_the_old_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert in_order(changed(old, changes(old, new))) == in_order(new)


@given(DOCUMENTS)
def test_nothing_is_said_where_nothing_changed(document: dict[str, Any]) -> None:
    assert changes(document, document) == {}


def test_a_truth_that_becomes_a_number_is_a_change() -> None:
    assert written(changes({"power": True}, {"power": 1})) == '{"power":1}'


def test_a_new_session_and_one_more_wh_cost_no_more_than_themselves() -> None:
    old = [{"id": n, "wh": n, "payer": "0x" + "ab" * 20} for n in range(50)]
    new = [{"id": 99, "wh": 0}, *(one | ({"wh": 1_000} if one["id"] == 6 else {}) for one in old[:-1])]
    assert changes({"sessions": old}, {"sessions": new}) == {
        "sessions": {"drop": 1, "at": {"6": {"wh": 1_000}}, "first": [{"id": 99, "wh": 0}]}
    }
