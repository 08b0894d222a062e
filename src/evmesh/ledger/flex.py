"""`FlexToken`: units made against an issuer's vouchers. Implements the port FlexIssuer."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.ids import Address
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import decode_values, encode_call
from evmesh.ledger.quota import RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures, compact_words, keccak256

MAX_ROWS: Final = 200
_MINT: Final = "mint(uint256[4][])"


class FlexReader:
    """Reads anybody's FlexToken."""

    def __init__(self, rpc: JsonRpc, contract: Address) -> None:
        self._rpc = rpc
        self.contract = contract

    async def made(self, holders: Sequence[Address]) -> list[int]:
        """Read how many units were ever made for each, in one round trip."""
        calls = [(self.contract, encode_call("minted(address)", holder)) for holder in holders]
        return [decode_values(("uint256",), raw)[0] for raw in await self._rpc.read_many(calls)]

    async def issuer(self) -> Address:
        """Read whose promise a unit is."""
        raw = await self._rpc.read(self.contract, encode_call("issuer()"))
        found: Address = decode_values(("address",), raw)[0]
        return found

    async def room(self) -> int:
        """Read how many more units fit under the cap; 0 where there are more than that."""
        calls = [(self.contract, encode_call(name)) for name in ("cap()", "totalSupply()")]
        cap, supply = [decode_values(("uint256",), raw)[0] for raw in await self._rpc.read_many(calls)]
        return max(0, int(cap) - int(supply))


class FlexToken(FlexReader):
    """The operator's own token; `relayer` pays the gas, so that no holder needs any."""

    def __init__(
        self, contract: Address, issuer: Address, chain_id: int, *, relayer: Relayer, quota: RelayQuota
    ) -> None:
        super().__init__(relayer.rpc, contract)
        self._issuer = issuer
        self._chain_id = chain_id
        self._relayer = relayer
        self._quota = quota

    async def mint(self, vouchers: Sequence[SignedFlexVoucher]) -> Mined:
        """Have units made; sent once for what the vouchers make now, through any crash.

        Rows that make nothing do not stop the others. Raises Refused `flex.not_the_issuer`,
        `flex.stale` or `flex.cap_reached` after the first row where none makes anything.
        """
        key, data = await self._prepared(vouchers)
        return await self._send(key, data, vouchers)

    async def redeem(self, voucher: SignedFlexVoucher) -> Mined:
        """Relay one voucher for its holder. What is not ours costs nobody's quota."""
        self._require_ours(voucher)
        key, data = await self._prepared([voucher])
        if await self._relayer.is_new(key):
            await self._require_use(voucher)
            self._quota.take(voucher.voucher.holder.text)
        return await self._send(key, data, [voucher])

    async def _prepared(self, vouchers: Sequence[SignedFlexVoucher]) -> tuple[str, bytes]:
        """Give the purpose and the call. What was made before is part of the purpose.

        So the same vouchers are sent again after the cap had cut them, and not sent again before.
        """
        if not 0 < len(vouchers) <= MAX_ROWS:
            raise InvalidInput("flex.too_many", f"1 to {MAX_ROWS} vouchers go into one transaction")
        made = await self.made([one.voucher.holder for one in vouchers])
        data = encode_call(_MINT, [flex_row(one) for one in vouchers])
        purpose = sha256(data + b"".join(one.to_bytes(32, "big") for one in made)).hexdigest()
        return f"flex:{purpose[:32]}", data

    async def _send(self, key: str, data: bytes, vouchers: Sequence[SignedFlexVoucher]) -> Mined:
        if await self._relayer.is_new(key):
            makes = int.from_bytes(await self._relayer.simulate(self.contract, data), "big")
            if not makes:
                self._require_ours(vouchers[0])
                await self._require_use(vouchers[0])
        return await self._relayer.submit(key, self.contract, data)

    def _require_ours(self, one: SignedFlexVoucher) -> None:
        ours = (one.flex, one.chain_id) == (self.contract, self._chain_id)
        try:
            signer = EthereumSignatures().recover(digest(one.domain, one.voucher, keccak256), one.signature)
        except IntegrityFailure:
            ours, signer = False, self._issuer
        if not ours or signer != self._issuer:
            raise Refused(
                "flex.not_the_issuer",
                f"this voucher is not one of {self._issuer} for the token {self.contract}",
                do="send the voucher as the operator gave it, to that operator",
            )

    async def _require_use(self, one: SignedFlexVoucher) -> None:
        made = (await self.made([one.voucher.holder]))[0]
        if one.voucher.cumulative <= made:
            raise Refused("flex.stale", f"all of these {one.voucher.cumulative} units were made before")
        if not await self.room():
            raise Refused(
                "flex.cap_reached",
                "the issuer has promised as much FLEX as it may; what is due stays due",
                do="try again later: the same voucher makes the units once the issuer has moved its cap",
            )


class PurposeBook(Protocol):
    """The journal, as far as it tells which purposes there were."""

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        """Give what is not known to be mined, in nonce order."""

    async def newest_purpose(self, prefix: str) -> str | None:
        """Give the purpose of the newest transaction, mined or not, of those that begin so."""


class ReceivedFlex:
    """What the issuer was paid with its own token. `operator` is the issuer's account, and sends."""

    def __init__(self, contract: Address, operator: Relayer, book: PurposeBook) -> None:
        self._contract = contract
        self._operator = operator
        self._book = book

    async def burn_up_to(self, received: int) -> Mined | None:
        """Destroy what was received in all, less what was destroyed before; None for nothing.

        A purpose names where it begins and ends, so each begins where the newest one ended, and the same
        is sent until it is mined: what came in is never destroyed twice. Raises Refused with the token's
        reason.
        """
        prefix = f"burn:{self._contract}:"
        # Older ones too: after a loss of blocks burns may come before their payouts, and fail.
        for row in await self._book.unmined(self._operator.address):
            if row.key.startswith(prefix):
                begin, end = (int(part) for part in row.key.removeprefix(prefix).split(":"))
                if end <= received:
                    await self._burn(row.key, end - begin)
        newest = await self._book.newest_purpose(prefix)
        done = 0 if newest is None else int(newest.rpartition(":")[2])
        if received <= done:
            return None
        return await self._burn(f"{prefix}{done}:{received}", received - done)

    async def _burn(self, key: str, units: int) -> Mined:
        return await self._operator.submit(key, self._contract, encode_call("burn(uint256)", units))


def flex_row(one: SignedFlexVoucher) -> list[int]:
    """Give the four words of a row: r, vs, holder 160 | cumulative 96, certificate."""
    holder = int.from_bytes(one.voucher.holder.to_bytes(), "big")
    return [
        *compact_words(one.signature),
        holder | one.voucher.cumulative << 160,
        int.from_bytes(one.voucher.certificate, "big"),
    ]
