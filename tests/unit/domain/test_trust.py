import pytest

from evmesh.domain.canonical import canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.trust import Trust
from tests.unit.verify.receipt_factory import OPERATOR, make_trust

TRUST = make_trust()


def test_a_trust_file_reads_back() -> None:
    assert Trust.parse(canonical_json(TRUST.to_json())) == TRUST


def test_people_may_lay_it_out_as_they_like() -> None:
    raw = canonical_json(TRUST.to_json()).replace(b",", b",\n  ") + b"\n"
    assert Trust.parse(raw) == TRUST


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"format": "evmesh.trust/2"}, "format"),
        ({"payees": OPERATOR.address.text}, "payees"),
        ({"payees": ["0x12"]}, "payees[0]"),
        ({"publishers": [None]}, "publishers[0]"),
        ({"meters": [{"id": "m"}]}, "meters[0].key"),
        ({"meters": [{"id": "m", "key": OPERATOR.address.text, "kind": "x"}]}, "meters[0].kind"),
        ({"chain": None}, "chain"),
        ({"chain": TRUST.chain.to_json() | {"chain_id": 0}}, "chain.chain_id"),
        ({"chain": TRUST.chain.to_json() | {"token": "x"}}, "chain.token"),
        ({"note": "mine"}, "note"),
    ],
)
def test_a_slip_in_it_is_named(changes: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Trust.parse(canonical_json(TRUST.to_json() | changes))
    assert refused.value.path == path


def test_a_meter_that_stands_twice_is_refused() -> None:
    meters = TRUST.to_json()["meters"] * 2
    with pytest.raises(InvalidInput) as refused:
        Trust.parse(canonical_json(TRUST.to_json() | {"meters": meters}))
    assert (refused.value.code, refused.value.path) == ("trust.doubled_meter", "meters[1].id")
