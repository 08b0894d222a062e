"""What a token calls itself, as a person is shown it: a stranger chose it."""

from typing import Any

import pytest

from evmesh.ledger.abi import encode_values
from evmesh.ledger.reasons import refused_by_contract
from evmesh.ledger.token import MAX_SYMBOL, Token
from tests.unit.verify.keys import Key


class OneAnswer:
    """A node that says the same of every contract."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer

    async def read(self, to: object, data: bytes) -> bytes:
        if self._answer is None:
            raise refused_by_contract("")
        return self._answer


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (encode_values(("string",), "devEUR"), "devEUR"),
        (encode_values(("string",), " USDC\n"), "USDC"),
        (encode_values(("string",), "EUR\x1b[2J\r0.01"), "EUR?[2J?0.01"),
        (encode_values(("string",), "x" * 5_000), "x" * MAX_SYMBOL + "…"),
        (b"MKR".ljust(32, b"\0"), ""),
        (b"", ""),
        (None, ""),
    ],
)
async def test_a_symbol_is_shown_as_far_as_it_is_fit_to_be(answer: bytes | None, shown: str) -> None:
    rpc: Any = OneAnswer(answer)
    assert await Token(rpc, Key("token").address, 31_337).symbol() == shown
