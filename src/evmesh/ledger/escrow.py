"""`ChargeTab`: the money. Implements the port Escrow."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from eth_abi.abi import encode

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS, format_units
from evmesh.domain.signed_types import Close, Exit, Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.abi import decode_values, encode_call
from evmesh.ledger.quota import RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import (
    EthereumSignatures,
    compact_signature,
    compact_words,
    keccak256,
    split_signature,
)
from evmesh.ports import Claim, Clock, DepositOrder, Mined, Signer, Tab

MAX_ROWS: Final = 200
_TAB: Final = ("uint256",) * 4
_DEPOSIT: Final = (
    "deposit_with_permit(address,address,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,uint8,bytes32,bytes32)"
)
_CLOSE: Final = "close(address,address,uint256,uint256,uint256,uint256,uint256)"
_CLAIM: Final = "claim(uint256[3][])"
_CLOSE_HOLDS: Final = timedelta(days=1)


class RowFate(StrEnum):
    """What the contract would do with one row of a claim; the values are stable codes."""

    SETTLED = "settled"
    MALFORMED = "malformed"
    NOT_THE_PAYER = "not_the_payer"
    OTHER_EPOCH = "other_epoch"
    STALE = "stale"
    UNDERFUNDED = "underfunded"


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
            self._check_policy(order, await self.tab(order.payee, order.payer))
        permit_v, permit_r, permit_s = _permit_parts(order.permit_signature)
        data = encode_call(
            _DEPOSIT,
            order.payee,
            order.payer,
            order.epoch,
            order.ceiling,
            order.deadline,
            *compact_words(_compact(order.top_up_signature)),
            order.value,
            order.deadline,
            permit_v,
            permit_r,
            permit_s,
        )
        return await self._relayer.submit(key, self.contract, data)

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        """Claim for the operator; idempotent per `key`.

        Rows that the contract would skip do not stop the others. Raises Refused `claim.stale`,
        `claim.underfunded` … after the first row where no row at all would be settled.
        """
        if not 0 < len(claims) <= MAX_ROWS:
            raise InvalidInput("claim.too_many", f"1 to {MAX_ROWS} rows go into one claim")
        data = encode_call(_CLAIM, [_row(claim) for claim in claims])
        if await self._operator.is_new(key):
            settled = int.from_bytes(await self._operator.simulate(self.contract, data), "big")
            if not settled:
                fate = (await self.claim_fates(claims))[0]
                raise Refused(f"claim.{fate}", f"none of {len(claims)} vouchers can be claimed: {fate}")
        return await self._operator.submit(key, self.contract, data)

    async def claim_fates(self, claims: Sequence[Claim]) -> list[RowFate]:
        """Say what the contract would do with each row now, by its own rules and in their order."""
        payers = [claim.payer for claim in claims]
        words = dict(zip(payers, await self.tabs(self._signer.address, payers), strict=True))
        fates = []
        for claim in claims:
            fate = self._fate(claim, words[claim.payer])
            if fate is RowFate.SETTLED:
                tab = words[claim.payer]
                words[claim.payer] = Tab(claim.amount, tab.ceiling, tab.exit_at, tab.epoch)
            fates.append(fate)
        return fates

    async def refund(self, payer: Address, tab: Tab, key: str) -> Mined:
        """Close the operator's tab with `payer` at what is spent already: the rest goes back."""
        deadline = int((self._clock.now() + _CLOSE_HOLDS).timestamp())
        close = Close(payer=payer, epoch=tab.epoch, amount=tab.spent, deadline=deadline)
        signature = self._signer.sign(digest(self._domain, close, keccak256))
        data = encode_call(
            _CLOSE,
            self._signer.address,
            payer,
            tab.epoch,
            tab.spent,
            deadline,
            *compact_words(signature),
        )
        return await self._relayer.submit(key, self.contract, data)

    async def payout(self, key: str) -> Mined:
        """Move what was claimed to the operator's account."""
        data = encode_call("payout(address)", self._signer.address)
        return await self._relayer.submit(key, self.contract, data)

    async def begin_exit(self, payer: Address, epoch: int, signature: bytes, key: str) -> Mined:
        """Relay a driver's signed Exit from the operator's tab."""
        signed = Exit(payee=self._signer.address, epoch=epoch)
        if self._signatures.recover(digest(self._domain, signed, keccak256), signature) != payer:
            raise IntegrityFailure("tab.exit_not_signed_by_payer", "the driver did not sign this exit")
        if await self._relayer.is_new(key):
            self._quota.take(payer.text)
        data = encode_call(
            "begin_exit_signed(address,address,uint256,uint256,uint256)",
            self._signer.address,
            payer,
            epoch,
            *compact_words(_compact(signature)),
        )
        return await self._relayer.submit(key, self.contract, data)

    async def finish_exit(self, payer: Address, key: str) -> Mined:
        """Return to a driver what the tab has left, after the window."""
        data = encode_call("finish_exit(address,address)", self._signer.address, payer)
        return await self._relayer.submit(key, self.contract, data)

    def _check_policy(self, order: DepositOrder, tab: Tab) -> None:
        ceiling = tab.ceiling if order.epoch == tab.epoch else 0
        if 0 < order.ceiling - ceiling < self._quota.policy.min_deposit:
            raise Refused(
                "relay.deposit_too_small",
                f"the relayer pays for deposits of {format_units(self._quota.policy.min_deposit)} and more",
                do="deposit more at once, or send the deposit yourself",
            )
        self._quota.take(order.payer.text)

    def _fate(self, claim: Claim, tab: Tab) -> RowFate:
        if not 0 <= claim.amount <= claim.cumulative <= MAX_UNITS:
            return RowFate.MALFORMED
        voucher = Voucher(payee=self._signer.address, epoch=claim.epoch, cumulative=claim.cumulative)
        try:
            signer = self._signatures.recover(digest(self._domain, voucher, keccak256), claim.signature)
        except IntegrityFailure:
            return RowFate.MALFORMED
        checks = {
            RowFate.NOT_THE_PAYER: signer != claim.payer,
            RowFate.OTHER_EPOCH: claim.epoch != tab.epoch,
            RowFate.STALE: claim.amount <= tab.spent,
            RowFate.UNDERFUNDED: claim.amount > tab.ceiling,
        }
        return next((fate for fate, applies in checks.items() if applies), RowFate.SETTLED)


def row_words(amount: int, cumulative: int, epoch: int, signature: bytes) -> list[int]:
    """Give the three words of a claim row: r, vs, then amount 96 | cumulative 96 | epoch 32."""
    if not (0 <= amount <= MAX_UNITS and 0 <= cumulative <= MAX_UNITS and 0 <= epoch < 2**32):
        raise InvalidInput("claim.malformed", "amounts are below 2^96 and epochs below 2^32")
    return [*compact_words(_compact(signature)), amount | cumulative << 96 | epoch << 192]


def rows_hash(rows: Sequence[Sequence[int]]) -> bytes:
    """Give what a payee signs in `Claim(bytes32 rows, …)`: keccak256(abi.encode(uint256[3][] rows))."""
    return keccak256(encode(["uint256[3][]"], [[list(row) for row in rows]]))


def _row(claim: Claim) -> list[int]:
    return row_words(claim.amount, claim.cumulative, claim.epoch, claim.signature)


def _compact(signature: bytes) -> bytes:
    return signature if len(signature) == 64 else compact_signature(signature)


def _permit_parts(signature: bytes) -> tuple[int, bytes, bytes]:
    """Give v, r and s, the way EIP-2612 takes them."""
    r, s, parity = split_signature(_compact(signature))
    return 27 + parity, r.to_bytes(32, "big"), s.to_bytes(32, "big")
