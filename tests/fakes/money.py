"""An escrow in memory with the arithmetic, the signatures and the refusals of the real one.

It passes `tests/contract/test_escrow_port.py`, as `ChargeTab` on a chain does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from evmesh.domain.chain import AuthorizedDeposit, Claim, DepositOrder, Mined, Tab
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Exit, TopUp, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.ports import Clock

EMPTY = Tab(spent=0, ceiling=0, exit_at=0, epoch=0)
_SIGNATURES = EthereumSignatures()


@dataclass
class FakeEscrow:
    """Implements the port `Escrow` for one payee."""

    payee: Address
    domain: Domain
    clock: Clock
    balances: dict[Address, int] = field(default_factory=dict)
    """Tokens outside the escrow."""
    tabs: dict[Address, Tab] = field(default_factory=dict)
    earned: int = 0
    paid_out: int = 0
    away: bool = False
    lose_answers: int = 0
    """How many more transactions are mined whose answer is lost on its way back."""
    sent: list[str] = field(default_factory=list)
    """The key of each transaction that really went out."""
    order: list[str] | None = None
    by_key: dict[str, Mined] = field(default_factory=dict)
    rows_of: dict[str, list[bool]] = field(default_factory=dict)
    """Which rows each claim settled, by its transaction."""
    window_s: int = 86_400

    @property
    def held(self) -> int:
        """All tokens that are in the escrow."""
        return sum(tab.ceiling - tab.spent for tab in self.tabs.values()) + self.earned - self.paid_out

    async def balance(self, account: Address) -> int:
        """What an account holds outside the escrow: enough, unless a test says otherwise."""
        self._reach()
        return self.balances.get(account, 10**12)

    async def tab(self, payee: Address, payer: Address) -> Tab:
        self._reach()
        return self.tabs.get(payer, EMPTY) if payee == self.payee else EMPTY

    async def deposit(self, order: DepositOrder, key: str) -> Mined:
        self._reach()
        if key in self.by_key:
            return self.by_key[key]
        tab = self.tabs.get(order.payer, EMPTY)
        if order.payee != self.payee:
            raise Refused("relay.other_payee", f"{order.payee} is not the operator here")
        top_up = TopUp(order.payee, order.epoch, order.ceiling, order.deadline)
        if self._signer(top_up, order.top_up_signature) != order.payer:
            raise Refused("tab.top_up_not_signed", "not signed by the payer")
        if order.epoch != tab.epoch or order.deadline < self.clock.now().timestamp() or tab.exit_at:
            raise Refused("tab.refused", "another epoch, too late, or an exit")
        value = order.ceiling - tab.ceiling
        if value <= 0 or self.balances.get(order.payer, 0) < value:
            raise Refused("token.too_little", "nothing to deposit")
        self.balances[order.payer] -= value
        self.tabs[order.payer] = replace(tab, ceiling=order.ceiling)
        return self._mine(key)

    async def block_time(self) -> int:
        self._reach()
        return int(self.clock.now().timestamp())

    async def window(self) -> int:
        self._reach()
        return self.window_s

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        self._reach()
        if key in self.by_key:
            return self.by_key[key]
        fates = [self._settle(claim) for claim in claims]
        if not any(fate == "settled" for fate in fates):
            raise Refused(f"claim.{fates[0]}", f"none can be claimed: {fates[0]}")
        self.rows_of[f"0x{len(self.sent) + 1:064x}"] = [fate == "settled" for fate in fates]
        return self._mine(key)

    async def claim_fates(self, claims: Sequence[Claim]) -> list[str]:
        self._reach()
        now = self.tabs.copy(), self.earned
        fates = [self._settle(claim) for claim in claims]
        self.tabs, self.earned = now
        return fates

    async def has_signed(self, key: str) -> bool:
        return key in self.by_key

    async def settled_rows(self, mined: Mined, rows: int) -> list[bool] | None:
        self._reach()
        return self.rows_of.get(mined.tx_hash)

    async def refund(self, payer: Address, tab: Tab, key: str) -> Mined:
        self._reach()
        if key in self.by_key:
            return self.by_key[key]
        now = self.tabs.get(payer, EMPTY)
        if now.epoch != tab.epoch or now.spent > tab.spent:
            raise Refused("tab.stale", "the tab is in another epoch, or more is spent")
        self.balances[payer] = self.balances.get(payer, 0) + now.ceiling - now.spent
        self.tabs[payer] = Tab(0, 0, 0, now.epoch + 1)
        return self._mine(key)

    async def account(self, payee: Address) -> tuple[int, int]:
        self._reach()
        return (self.earned, self.paid_out) if payee == self.payee else (0, 0)

    async def payout(self, key: str) -> Mined:
        self._reach()
        if key in self.by_key:
            return self.by_key[key]
        self.balances[self.payee] = self.balances.get(self.payee, 0) + self.earned - self.paid_out
        self.paid_out = self.earned
        return self._mine(key)

    def leave(self, payer: Address, exit_at: int) -> None:
        """Let a payer begin to leave the tab, without anybody's help."""
        self.tabs[payer] = replace(self.tabs.get(payer, EMPTY), exit_at=exit_at)

    def finish_exit(self, payer: Address) -> None:
        """Let a payer have back what is left."""
        tab = self.tabs[payer]
        self.balances[payer] = self.balances.get(payer, 0) + tab.ceiling - tab.spent
        self.tabs[payer] = Tab(0, 0, 0, tab.epoch + 1)

    def _settle(self, claim: Claim) -> str:
        tab = self.tabs.get(claim.payer, EMPTY)
        voucher = Voucher(self.payee, claim.epoch, claim.cumulative)
        if self._signer(voucher, claim.signature) != claim.payer or claim.amount > claim.cumulative:
            return "malformed"
        if claim.epoch != tab.epoch:
            return "other_epoch"
        if claim.amount <= tab.spent:
            return "stale"
        if claim.amount > tab.ceiling:
            return "underfunded"
        self.earned += claim.amount - tab.spent
        self.tabs[claim.payer] = replace(tab, spent=claim.amount)
        return "settled"

    def _signer(self, value: TypedStruct, signature: bytes) -> Address:
        return _SIGNATURES.recover(digest(self.domain, value, _SIGNATURES.keccak256), signature)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("chain.away", "no node answers")

    def _mine(self, key: str) -> Mined:
        self.sent.append(key)
        if self.order is not None:
            self.order.append(key)
        block = len(self.sent)
        mined = self.by_key[key] = Mined(f"0x{block:064x}", block, 50_000)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("chain.away", "the node went away before it answered")
        return mined


@dataclass
class FakeRelay:
    """Implements the port `DriverRelay` over a FakeEscrow; it takes any authorization that fits."""

    escrow: FakeEscrow
    window_s: int = 86_400

    async def deposit_authorized(self, order: AuthorizedDeposit, key: str) -> Mined:
        bank = self.escrow
        bank._reach()
        if key in bank.by_key:
            return bank.by_key[key]
        tab = bank.tabs.get(order.payer, EMPTY)
        if order.payee != bank.payee:
            raise Refused("relay.other_payee", f"{order.payee} is not the operator here")
        if tab.exit_at or bank.balances.get(order.payer, 0) < order.value:
            raise Refused("token.balance_too_small", "an exit, or nothing to deposit")
        bank.balances[order.payer] -= order.value
        bank.tabs[order.payer] = replace(tab, ceiling=tab.ceiling + order.value)
        return bank._mine(key)

    async def begin_exit(self, payer: Address, epoch: int, signature: bytes, key: str) -> Mined:
        bank = self.escrow
        bank._reach()
        if key in bank.by_key:
            return bank.by_key[key]
        if bank._signer(Exit(bank.payee, epoch), signature) != payer:
            raise Refused("tab.exit_not_signed_by_payer", "not signed by the payer")
        tab = bank.tabs.get(payer, EMPTY)
        if tab.epoch != epoch:
            raise Refused("tab.other_epoch", "another epoch")
        if tab.exit_at or not tab.ceiling:
            raise Refused("tab.nothing_to_leave", "begun, or nothing there")
        bank.leave(payer, int(bank.clock.now().timestamp()) + self.window_s)
        return bank._mine(key)

    async def close(
        self, payer: Address, epoch: int, amount: int, agreed: bytes | None, deadline: int, key: str
    ) -> Mined:
        bank = self.escrow
        bank._reach()
        if key in bank.by_key:
            return bank.by_key[key]
        tab = bank.tabs.get(payer, EMPTY)
        if deadline < bank.clock.now().timestamp():
            raise Refused("tab.close_too_late", "its deadline has passed")
        if tab.epoch != epoch:
            raise Refused("tab.other_epoch", "another epoch")
        if not tab.ceiling:
            raise Refused("tab.nothing_to_close", "nothing there")
        if amount < tab.spent:
            raise Refused("tab.final_total_below_spent", "more was claimed")
        if amount > tab.ceiling:
            raise Refused("tab.final_total_above_ceiling", "not so much is there")
        if amount > tab.spent and (
            agreed is None or bank._signer(Voucher(bank.payee, epoch, amount), agreed) != payer
        ):
            raise Refused("tab.final_total_not_agreed", "the payer did not agree")
        bank.earned += amount - tab.spent
        bank.balances[payer] = bank.balances.get(payer, 0) + tab.ceiling - amount
        bank.tabs[payer] = Tab(0, 0, 0, epoch + 1)
        return bank._mine(key)

    async def finish_exit(self, payer: Address, key: str) -> Mined:
        bank = self.escrow
        bank._reach()
        if key in bank.by_key:
            return bank.by_key[key]
        tab = bank.tabs.get(payer, EMPTY)
        if not tab.exit_at:
            raise Refused("tab.no_exit_begun", "nobody began to leave")
        if bank.clock.now().timestamp() < tab.exit_at:
            raise Refused("tab.exit_too_early", "the window is open")
        bank.finish_exit(payer)
        return bank._mine(key)
