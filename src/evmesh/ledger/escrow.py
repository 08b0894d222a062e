"""`ChargeTab`: the money. Implements the port Escrow."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from evmesh.domain.chain import AuthorizedDeposit, Claim, DepositOrder, Mined, Tab
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import format_units
from evmesh.domain.signed_types import Close, Exit, TopUp
from evmesh.domain.typed_data import Domain, TypedStruct, digest
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.claims import MAX_ROWS, RowFate, claim_row, fates_of
from evmesh.ledger.quota import RelayQuota
from evmesh.ledger.reasons import refused_by_contract
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc, from_hex
from evmesh.ledger.signatures import (
    EthereumSignatures,
    compact_words,
    compacted,
    keccak256,
    split_signature,
)
from evmesh.ports import Clock, Signer

_TAB: Final = ("uint256",) * 4
_DEPOSIT: Final = (
    "deposit_with_permit(address,address,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,uint8,bytes32,bytes32)"
)
_DEPOSIT_AUTHORIZED: Final = (
    "deposit_with_authorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
_CLOSE: Final = "close(address,address,uint256,uint256,uint256,uint256,uint256)"
_CLOSE_AGREED: Final = f"{_CLOSE[:-1]},uint256,uint256,uint256)"
_CLAIMED: Final = event_topic("Claimed(address,uint256,uint256)")
_CLAIM: Final = "claim(uint256[3][])"
_REFUND_HOLDS: Final = timedelta(days=1)
"""The refund's session keeps the tab from others until its Close is mined."""


def exit_call(payee: Address, payer: Address, epoch: int, signature: bytes) -> bytes:
    """Give the call by which anybody begins the exit that the payer signed."""
    words = compact_words(compacted(signature))
    return encode_call(
        "begin_exit_signed(address,address,uint256,uint256,uint256)", payee, payer, epoch, *words
    )


def finish_call(payee: Address, payer: Address) -> bytes:
    """Give the call by which anybody has what is left returned to the payer, after the window."""
    return encode_call("finish_exit(address,address)", payee, payer)


class TabReader:
    """Reads anybody's tabs."""

    def __init__(self, rpc: JsonRpc, contract: Address) -> None:
        self._rpc = rpc
        self.contract = contract

    async def tab(self, payee: Address, payer: Address) -> Tab:
        """Read one tab at the newest block."""
        return (await self.tabs(payee, [payer]))[0]

    async def tabs(self, payee: Address, payers: Sequence[Address]) -> list[Tab]:
        """Read several tabs of one payee in one round trip, in order."""
        call = "tab(address,address)"
        raws = await self._rpc.read_many(
            [(self.contract, encode_call(call, payee, payer)) for payer in payers]
        )
        return [Tab(*decode_values(_TAB, raw)) for raw in raws]

    async def block_time(self) -> int:
        """Read the newest block's time, in seconds since 1970."""
        return await self._rpc.block_time()

    async def window(self) -> int:
        """Read the seconds between the beginning of an exit and its end."""
        raw = await self._rpc.read(self.contract, encode_call("window()"))
        (seconds,) = decode_values(("uint256",), raw)
        return int(seconds)

    async def account(self, payee: Address) -> tuple[int, int]:
        """Read what a payee earned, and what of it was paid out, since the contract began."""
        raw = await self._rpc.read(self.contract, encode_call("account(address)", payee))
        earned, paid = decode_values(("uint256", "uint256"), raw)
        return earned, paid


class ChargeTab(TabReader):
    """The operator's side of the escrow, and the relaying of what drivers signed.

    `operator` sends claims, since only the payee may; `relayer` sends the rest.
    """

    def __init__(
        self,
        contract: Address,
        domain: Domain,
        *,
        signer: Signer,
        operator: Relayer,
        relayer: Relayer,
        clock: Clock,
        quota: RelayQuota,
    ) -> None:
        super().__init__(relayer.rpc, contract)
        self._domain = domain
        self._signer = signer
        self._operator = operator
        self._relayer = relayer
        self._clock = clock
        self._quota = quota
        self._signatures = EthereumSignatures()

    async def deposit(self, order: DepositOrder, key: str) -> Mined:
        """Relay a driver's deposit; simulated first.

        Raises Refused with the contract's reason, `relay.deposit_too_small`, or `relay.too_many`.
        """
        if await self._relayer.is_new(key):
            self._check_order(order, await self.tab(order.payee, order.payer))
        permit_v, permit_r, permit_s = _permit_parts(order.permit_signature)
        data = encode_call(
            _DEPOSIT,
            order.payee,
            order.payer,
            order.epoch,
            order.ceiling,
            order.deadline,
            *compact_words(compacted(order.top_up_signature)),
            order.value,
            order.deadline,
            permit_v,
            permit_r,
            permit_s,
        )
        return await self._relayer.submit(key, self.contract, data)

    async def deposit_authorized(self, order: AuthorizedDeposit, key: str) -> Mined:
        """Relay a driver's deposit by EIP-3009; simulated first, so that only what is signed is counted.

        Raises Refused with the contract's or the token's reason, `relay.deposit_too_small`, or
        `relay.too_many`.
        """
        v, r, s = _permit_parts(order.signature)
        data = encode_call(
            _DEPOSIT_AUTHORIZED,
            order.payee,
            order.payer,
            order.value,
            order.valid_after,
            order.valid_before,
            order.salt,
            v,
            r,
            s,
        )
        if await self._relayer.is_new(key):
            self._require_own(order.payee)
            self._require_worth(order.value)
            await self._relayer.simulate(self.contract, data)
            self._quota.take(order.payer.text)
        return await self._relayer.submit(key, self.contract, data)

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        """Claim for the operator; idempotent per `key`.

        Rows that the contract would skip do not stop the others. Raises Refused `claim.stale`,
        `claim.underfunded` … after the first row where no row at all would be settled.
        """
        if not 0 < len(claims) <= MAX_ROWS:
            raise InvalidInput("claim.too_many", f"1 to {MAX_ROWS} rows go into one claim")
        data = encode_call(_CLAIM, [claim_row(claim) for claim in claims])
        if await self._operator.is_new(key):
            settled = int.from_bytes(await self._operator.simulate(self.contract, data), "big")
            if not settled:
                fate = (await self.claim_fates(claims))[0]
                raise Refused(f"claim.{fate}", f"none of {len(claims)} vouchers can be claimed: {fate}")
        mined = await self._operator.submit(key, self.contract, data)
        if await self._settled_nothing(mined, len(claims)):
            fate = (await self.claim_fates(claims))[0]
            raise Refused(f"claim.{fate}", f"another transaction came first, and nothing was claimed: {fate}")
        return mined

    async def claim_fates(self, claims: Sequence[Claim]) -> list[RowFate]:
        """Say what the contract would do with each row now."""
        payers = list({claim.payer for claim in claims})
        tabs = dict(zip(payers, await self.tabs(self._signer.address, payers), strict=True))
        return fates_of(claims, tabs, self._signer.address, self._domain)

    async def refund(self, payer: Address, tab: Tab, key: str) -> Mined:
        """Close the operator's tab with `payer` at what is spent already: the rest goes back."""
        deadline = int((self._clock.now() + _REFUND_HOLDS).timestamp())
        return await self.close(payer, tab.epoch, tab.spent, None, deadline, key)

    async def close(
        self, payer: Address, epoch: int, amount: int, agreed: bytes | None, deadline: int, key: str
    ) -> Mined:
        """End the operator's tab with `payer` at a final total, and return the rest at once.

        `agreed` is the payer's signature of a Voucher of exactly `amount`, needed above what is spent.
        """
        close = Close(payer=payer, epoch=epoch, amount=amount, deadline=deadline)
        signature = compact_words(self._signer.sign(digest(self._domain, close, keccak256)))
        words = (self._signer.address, payer, epoch, amount, deadline, *signature)
        if agreed is None:
            data = encode_call(_CLOSE, *words)
        else:
            data = encode_call(_CLOSE_AGREED, *words, amount, *compact_words(compacted(agreed)))
        return await self._relayer.submit(key, self.contract, data)

    async def payout(self, key: str) -> Mined:
        """Move what was claimed to the operator's account."""
        data = encode_call("payout(address)", self._signer.address)
        return await self._relayer.submit(key, self.contract, data)

    async def begin_exit(self, payer: Address, epoch: int, signature: bytes, key: str) -> Mined:
        """Relay a driver's signed Exit from the operator's tab."""
        leaving = Exit(payee=self._signer.address, epoch=epoch)
        self._require_signed(leaving, signature, payer, "tab: exit not signed by payer")
        if await self._relayer.is_new(key):
            self._quota.take(payer.text)
        data = exit_call(self._signer.address, payer, epoch, signature)
        return await self._relayer.submit(key, self.contract, data)

    async def finish_exit(self, payer: Address, key: str) -> Mined:
        """Return to a driver what the tab has left, after the window."""
        data = finish_call(self._signer.address, payer)
        return await self._relayer.submit(key, self.contract, data)

    async def has_signed(self, key: str) -> bool:
        """Say whether a claim was signed for this purpose."""
        return not await self._operator.is_new(key)

    async def settled_rows(self, mined: Mined, rows: int) -> list[bool] | None:
        """Say which rows of a mined claim were settled; None where the node no longer has its receipt."""
        receipt = await self._operator.rpc.call("eth_getTransactionReceipt", mined.tx_hash)
        for log in (receipt or {}).get("logs", ()):
            if log["topics"][0] == _CLAIMED and Address.parse(log["address"]) == self.contract:
                _, settled = decode_values(("uint256", "uint256"), from_hex(log["data"]))
                return [bool(settled >> row & 1) for row in range(rows)]
        return None

    async def _settled_nothing(self, mined: Mined, rows: int) -> bool:
        """Say whether every row was skipped: an exit or another claim may come between look and block.

        Where a node dropped the receipt, the tab says what was claimed.
        """
        settled = await self.settled_rows(mined, rows)
        return settled is not None and not any(settled)

    def _check_order(self, order: DepositOrder, tab: Tab) -> None:
        """Refuse what we do not pay gas for. Signed first: nobody uses up another's quota."""
        self._require_own(order.payee)
        top_up = TopUp(order.payee, order.epoch, order.ceiling, order.deadline)
        self._require_signed(top_up, order.top_up_signature, order.payer, "tab: top-up not signed by payer")
        ceiling = tab.ceiling if order.epoch == tab.epoch else 0
        if order.ceiling > ceiling:
            self._require_worth(order.ceiling - ceiling)
        self._quota.take(order.payer.text)

    def _require_own(self, payee: Address) -> None:
        if payee != self._signer.address:
            raise Refused("relay.other_payee", f"{payee} is not the operator here", do="ask its relayer")

    def _require_worth(self, value: int) -> None:
        least = self._quota.policy.min_deposit
        if value < least:
            raise Refused(
                "relay.deposit_too_small",
                f"the relayer pays for deposits of {format_units(least)} and more",
                do=f"raise the tab by {format_units(least)} at least, or send the deposit yourself",
            )

    def _require_signed(self, value: TypedStruct, signature: bytes, signer: Address, reason: str) -> None:
        if self._signatures.recover(digest(self._domain, value, keccak256), signature) != signer:
            raise refused_by_contract(reason)


def _permit_parts(signature: bytes) -> tuple[int, bytes, bytes]:
    """Give v, r and s, the way EIP-2612 takes them."""
    r, s, parity = split_signature(compacted(signature))
    return 27 + parity, r.to_bytes(32, "big"), s.to_bytes(32, "big")
