"""Claims of refills: debts that are settled, and ceilings that are pulled up behind them, each by itself."""

from collections.abc import Sequence
from typing import Any, Final

from evmesh.domain.chain import Mined, RefillClaim, RefillOutcome, RefillsMined
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.claims import MAX_ROWS, row_words
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import from_hex

_CLAIM_REFILL: Final = "claim_refill(uint256[4][])"
_CLAIMED: Final = event_topic("Claimed(address,uint256,uint256)")
_REFILLED: Final = event_topic("Refilled(address,uint256,uint256)")
_BITMAP: Final = ("uint256", "uint256")


class Refills:
    """Claims refills for the account of `operator`, which is the payee, at one escrow."""

    def __init__(self, contract: Address, operator: Relayer) -> None:
        self._contract = contract
        self._operator = operator

    async def claim(self, claims: Sequence[RefillClaim], key: str) -> RefillsMined:
        """Claim 1 to 200 rows; idempotent per `key`. A bad row, or a pull that fails, stops no other.

        Raises Refused `refill.nothing` where no row would be settled or pulled, InvalidInput
        `claim.too_many` or `claim.malformed`.
        """
        if not 0 < len(claims) <= MAX_ROWS:
            raise InvalidInput("claim.too_many", f"1 to {MAX_ROWS} rows go into one claim")
        data = encode_call(_CLAIM_REFILL, [refill_row(claim) for claim in claims])
        if await self._operator.is_new(key):
            settled, pulled = decode_values(_BITMAP, await self._operator.simulate(self._contract, data))
            if not settled | pulled:
                raise Refused(
                    "refill.nothing",
                    f"none of {len(claims)} refills can be settled or pulled now",
                    do="read the tabs again: another claim, an exit or a new epoch came first",
                )
        mined = await self._operator.submit(key, self._contract, data)
        receipt = await self._operator.rpc.call("eth_getTransactionReceipt", mined.tx_hash)
        return self._read(mined, receipt, len(claims))

    def _read(self, mined: Mined, receipt: dict[str, Any] | None, rows: int) -> RefillsMined:
        words = {
            log["topics"][0]: decode_values(_BITMAP, from_hex(log["data"]))
            for log in (receipt or {}).get("logs", ())
            if Address.parse(log["address"]) == self._contract and log["topics"][0] in (_CLAIMED, _REFILLED)
        }
        if len(words) < 2:
            return RefillsMined(mined, None, 0)
        (_, settled), (credited, pulled) = words[_CLAIMED], words[_REFILLED]
        outcomes = (RefillOutcome(bool(settled >> row & 1), bool(pulled >> row & 1)) for row in range(rows))
        return RefillsMined(mined, tuple(outcomes), credited)


def refill_row(claim: RefillClaim) -> list[int]:
    """Give the four words of a row: those of a claim row, then ceiling 96 | deadline 32."""
    if not (0 <= claim.ceiling <= MAX_UNITS and 0 <= claim.deadline < 2**32):
        raise InvalidInput("claim.malformed", "ceilings are below 2^96 and deadlines below 2^32")
    words = row_words(claim.amount, claim.cumulative, claim.epoch, claim.signature)
    return [*words, claim.ceiling | claim.deadline << 96]
