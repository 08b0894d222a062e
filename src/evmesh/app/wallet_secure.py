"""Securing the money of a promised charge: the deposit that is missing, then the first voucher."""

import asyncio
import secrets
from typing import Final

from evmesh.app.operator_client import Json, OperatorClient
from evmesh.app.wallet_book import Charge, ChargeBook, SavedDeposit, Stage
from evmesh.app.wallet_home import By, WalletHome
from evmesh.app.wallet_moves import wallet_at
from evmesh.app.wallet_place import Place
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Voucher
from evmesh.domain.typed_data import digest
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ports import Clock

DEPOSIT_HOLDS_S: Final = 86_400
_NODES_AGREE_WITHIN: Final = 100
_LOOK_EVERY_S: Final = 0.3


class Securing:
    """Moves one charge from OFFERED to PAID; every step may be made again after a crash."""

    def __init__(
        self,
        place: Place,
        api: OperatorClient,
        home: WalletHome,
        book: ChargeBook,
        signer: KeySigner,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._place = place
        self._api = api
        self._home = home
        self._book = book
        self._signer = signer
        self._wallet = wallet_at(place, signer)
        self._tabs = TabReader(place.rpc, place.coin.escrow)

    async def require_enough(self, charge: Charge) -> int:
        """Give what has to be deposited for the most that a charge may cost, before anything is signed.

        Raises Refused `wallet.too_little` or `tab.exit_begun`.
        """
        payee = Address.parse(charge.payee)
        tab = await self._tabs.tab(payee, self._signer.address)
        if tab.exit_at:
            raise Refused("tab.exit_begun", "you are leaving this tab", do="finish the exit first")
        missing = max(0, charge.max_cost - (tab.ceiling - tab.spent))
        if missing:
            missing = max(missing, charge.min_deposit)
            await self._wallet.require_balance(missing)
        return missing

    async def deposit(self, charge: Charge, by: By) -> None:
        """Raise the tab to base + budget, where it is not there; the relayer pays the gas."""
        payee, ceiling = Address.parse(charge.payee), charge.base + charge.budget
        tab = await self._tabs.tab(payee, self._signer.address)
        if tab.epoch != charge.epoch:
            raise Refused(
                "tab.other_epoch", "the tab was closed since the offer was signed", do="ask for a new offer"
            )
        missing = ceiling - tab.ceiling
        if missing <= 0:
            return
        self._home.remember(self._place.trust)  # before money moves: the way out must be known
        if by is By.AUTHORIZATION or charge.deposit is not None:
            sent = await self._by_authorization(charge, payee, max(missing, charge.min_deposit))
            value = charge.deposit.value if charge.deposit else missing
        else:
            deadline = await self._place.rpc.block_time() + DEPOSIT_HOLDS_S
            order = await self._wallet.deposit_order(payee, ceiling, deadline, least=charge.min_deposit)
            if order is None:
                return
            sent, value = await self._api.deposit(order, self._place.coin), order.value
        charge.transactions.append({"kind": "deposit", "amount": str(value), "hash": sent})
        self._book.save(charge)
        await self._seen(payee, ceiling)

    async def hand_over(self, charge: Charge, cumulative: int) -> Json:
        """Sign and send a voucher; what is signed is written down first."""
        charge.signed = max(charge.signed, cumulative)
        self._book.save(charge)
        return await self._api.voucher(charge.session, self.voucher_document(charge, cumulative))

    async def first_voucher(self, charge: Charge, cumulative: int) -> None:
        """Hand over the voucher that has the station start; moves the charge to PAID."""
        for attempt in range(_NODES_AGREE_WITHIN):
            try:
                await self.hand_over(charge, cumulative)
                break
            except Refused as refused:
                if refused.code != "voucher.underfunded" or attempt + 1 == _NODES_AGREE_WITHIN:
                    raise
            await asyncio.sleep(_LOOK_EVERY_S)  # the operator's node is behind ours
        charge.paid_at = self._clock.now()
        charge.paid_block_time = await self._place.rpc.block_time()
        charge.stage = Stage.PAID
        self._book.save(charge)

    def voucher_document(self, charge: Charge, cumulative: int) -> Json:
        """Give the body of POST /v1/sessions/{id}/vouchers."""
        voucher = Voucher(Address.parse(charge.payee), charge.epoch, cumulative)
        signature = self._signer.sign(digest(self._place.coin.domain, voucher, keccak256))
        return {
            "epoch": charge.epoch,
            "cumulative": str(cumulative),
            "signature": "0x" + signature.hex(),
        }

    async def _by_authorization(self, charge: Charge, payee: Address, value: int) -> str:
        """Deposit by EIP-3009; the same one again where it was signed before: its salt is good once."""
        if charge.deposit is None:
            until = await self._place.rpc.block_time() + DEPOSIT_HOLDS_S
            charge.deposit = SavedDeposit(value, until, secrets.token_hex(32))
            self._book.save(charge)
        saved = charge.deposit
        order = await self._wallet.authorized_deposit(
            payee, saved.value, saved.valid_before, bytes.fromhex(saved.salt)
        )
        return await self._api.deposit_authorized(order, self._place.coin)

    async def _seen(self, payee: Address, ceiling: int) -> None:
        """Look until our own node shows the money."""
        for _ in range(_NODES_AGREE_WITHIN):
            if (await self._tabs.tab(payee, self._signer.address)).ceiling >= ceiling:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise Unavailable(
            "wallet.not_seen",
            "the deposit was sent, and the node does not show it yet",
            do="go on with `evmesh wallet pay --resume`",
        )
