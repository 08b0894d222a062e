"""An issuer's token in memory, with the arithmetic, the signatures and the refusals of the real one.

It passes `tests/contract/test_flex_issuer.py`, as `FlexToken` on a chain does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evmesh.domain.chain import Mined
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.ids import Address
from evmesh.domain.typed_data import digest
from evmesh.ledger.signatures import EthereumSignatures

_SIGNATURES = EthereumSignatures()


@dataclass
class FakeFlex:
    """Implements the port `FlexIssuer`."""

    issuer: Address
    contract: Address
    cap: int = 10**12
    units: dict[Address, int] = field(default_factory=dict)
    away: bool = False
    lose_answers: int = 0
    sent: int = 0

    async def made(self, holders: Sequence[Address]) -> list[int]:
        self._reach()
        return [self.units.get(holder, 0) for holder in holders]

    async def mint(self, vouchers: Sequence[SignedFlexVoucher]) -> Mined:
        self._reach()
        fates = [self._make(one) for one in vouchers]
        if all(fates):
            raise Refused(fates[0], "nothing was made")
        self.sent += 1
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("chain.away", "the node went away before it answered")
        return Mined(f"0x{self.sent:064x}", self.sent, 50_000)

    async def redeem(self, voucher: SignedFlexVoucher) -> Mined:
        return await self.mint([voucher])

    def _make(self, one: SignedFlexVoucher) -> str:
        signer = _SIGNATURES.recover(digest(one.domain, one.voucher, _SIGNATURES.keccak256), one.signature)
        if one.flex != self.contract or signer != self.issuer:
            return "flex.not_the_issuer"
        holder, before = one.voucher.holder, self.units.get(one.voucher.holder, 0)
        if one.voucher.cumulative <= before:
            return "flex.stale"
        room = self.cap - sum(self.units.values())
        if room <= 0:
            return "flex.cap_reached"
        self.units[holder] = before + min(room, one.voucher.cumulative - before)
        return ""

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("chain.away", "no node answers")
