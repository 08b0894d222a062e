"""The tree of failures: which exit and which HTTP code each class has, and how it speaks to a person."""

import pytest

from evmesh.domain.errors import (
    EvmeshError,
    IntegrityFailure,
    InvalidInput,
    ProtocolViolation,
    Refused,
    Unavailable,
)


@pytest.mark.parametrize(
    ("kind", "exit_code", "http_status"),
    [
        (InvalidInput, 2, 400),
        (Refused, 3, 409),
        (Unavailable, 4, 503),
        (ProtocolViolation, 5, 502),
        (IntegrityFailure, 6, 422),
    ],
)
def test_each_class_has_its_codes(kind: type[EvmeshError], exit_code: int, http_status: int) -> None:
    error = kind("some.code", "it went wrong")
    assert (error.exit_code, error.http_status) == (exit_code, http_status)
    assert isinstance(error, EvmeshError)


def test_no_class_stands_for_another() -> None:
    kinds = EvmeshError.__subclasses__()
    assert set(kinds) == {InvalidInput, Refused, Unavailable, ProtocolViolation, IntegrityFailure}
    assert len({kind.exit_code for kind in kinds}) == len({kind.http_status for kind in kinds}) == 5


def test_an_error_says_what_happened_then_where_then_what_to_do() -> None:
    error = InvalidInput("plug.missing", "no plug", do="plug in", path="cars[2].plug")
    assert error.describe() == "error plug.missing: no plug (at cars[2].plug)\ndo: plug in"
    assert Refused("plug.taken", "taken").describe() == "error plug.taken: taken"
    assert str(error) == "plug.missing: no plug"
