"""A driver's wallet on this machine: one key and a node. Implements the port Wallet.

It signs and reads and never sends: a driver needs no gas.
"""

from typing import Final

from evmesh.domain.chain import AuthorizedDeposit, Contracts, DepositOrder, Tab
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS, amount_words
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.signed_types import Exit, TopUp, Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.token import Permit, ReceiveWithAuthorization, Token, deposit_nonce
from evmesh.ports import Signer

_ELSE_OF_FLEX: Final = (
    ", or pay in the site's own money: FLEX is earned by charges that leave the planner room"
)


class LocalWallet:
    """The key stays in the signer."""

    def __init__(
        self, signer: Signer, rpc: JsonRpc, contracts: Contracts | ChainRef, symbol: str = ""
    ) -> None:
        """A ChainRef also says which of the site's moneys this is about; `symbol` is for words to people."""
        escrow, token = contracts.charge_tab, contracts.token
        if isinstance(contracts, ChainRef):
            escrow, token = contracts.escrow, contracts.paid_token
        self._signer = signer
        self._symbol = symbol
        is_flex = isinstance(contracts, ChainRef) and contracts.paid_in is not None
        self._or_else = _ELSE_OF_FLEX if is_flex else ""
        self._token = Token(rpc, token, contracts.chain_id)
        self._tabs = TabReader(rpc, escrow)
        self._escrow = Domain(contracts.chain_id, escrow)

    @property
    def address(self) -> Address:
        return self._signer.address

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature."""
        return self._signer.sign(digest)

    async def balance(self) -> int:
        """Give the token units that the driver holds, outside the escrow."""
        return await self._token.balance(self.address)

    async def spent(self, payee: Address) -> int:
        """Give what the payee has taken from the driver's tab in its epoch."""
        return (await self._tabs.tab(payee, self.address)).spent

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        """Sign what raises the tab to `ceiling`, or by `least` where that is more; None where it is there.

        `least` is what the relayer asks for at least: no gas is spent on less. Raises Refused
        `wallet.too_little` where the balance does not reach, `tab.exit_begun` where the driver is
        leaving this tab.
        """
        if not 0 < ceiling <= MAX_UNITS:
            raise _out_of_range(ceiling)
        tab = await self._tabs.tab(payee, self.address)
        value = ceiling - tab.ceiling
        if value <= 0:
            return None
        value = max(value, least)
        ceiling = tab.ceiling + value
        _require_staying(tab)
        await self.require_balance(value)
        top_up = TopUp(payee=payee, epoch=tab.epoch, ceiling=ceiling, deadline=deadline)
        permit = Permit(
            owner=self.address,
            spender=self._escrow.verifying_contract,
            value=value,
            nonce=await self._token.permit_nonce(self.address),
            deadline=deadline,
        )
        return DepositOrder(
            payer=self.address,
            payee=payee,
            epoch=tab.epoch,
            ceiling=ceiling,
            value=value,
            deadline=deadline,
            permit_signature=self.sign(digest(await self._token.domain(), permit, keccak256)),
            top_up_signature=self.sign(digest(self._escrow, top_up, keccak256)),
        )

    async def authorized_deposit(
        self, payee: Address, value: int, valid_before: int, salt: bytes
    ) -> AuthorizedDeposit:
        """Sign an EIP-3009 authorization that raises the tab by `value`; `salt` is never used twice.

        Raises Refused `wallet.out_of_range`, `wallet.too_little` or `tab.exit_begun`.
        """
        tab = await self._tabs.tab(payee, self.address)
        if not 0 < value <= MAX_UNITS - tab.ceiling:
            raise _out_of_range(value)
        _require_staying(tab)
        await self.require_balance(value)
        authorization = ReceiveWithAuthorization(
            sender=self.address,
            receiver=self._escrow.verifying_contract,
            value=value,
            valid_after=0,
            valid_before=valid_before,
            nonce=deposit_nonce(payee, salt),
        )
        signature = self.sign(digest(await self._token.domain(), authorization, keccak256))
        return AuthorizedDeposit(self.address, payee, value, 0, valid_before, salt, signature)

    def sign_exit(self, payee: Address, epoch: int) -> bytes:
        """Sign that the tab is to be left, which anybody may send; nothing takes it back."""
        return self.sign(digest(self._escrow, Exit(payee=payee, epoch=epoch), keccak256))

    def sign_voucher(self, payee: Address, epoch: int, cumulative: int) -> bytes:
        """Sign that so much is owed in total since the epoch began."""
        return self.sign(
            digest(self._escrow, Voucher(payee=payee, epoch=epoch, cumulative=cumulative), keccak256)
        )

    async def require_balance(self, value: int) -> None:
        """Raise Refused `wallet.too_little` where the wallet does not hold so many token units."""
        balance = await self.balance()
        if balance < value:
            raise Refused(
                "wallet.too_little",
                f"the wallet holds {amount_words(balance, self._symbol)}, and "
                f"{amount_words(value, self._symbol)} are needed",
                do=f"send {amount_words(value - balance, self._symbol)} to {self.address}{self._or_else}",
            )


def _require_staying(tab: Tab) -> None:
    if tab.exit_at:
        raise Refused("tab.exit_begun", "you are leaving this tab", do="finish the exit first")


def _out_of_range(units: int) -> Refused:
    return Refused("wallet.out_of_range", f"a tab cannot hold {units} units", do="deposit less")
