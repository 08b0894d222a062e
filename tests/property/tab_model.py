"""ChargeTab told again in plain Python: who holds, owes and has promised what.

Nothing here knows of words, signatures or gas. A signature is a value that says who signed what; whoever
shows it for something else shows a stranger's.
"""

from dataclasses import dataclass, field, replace

WINDOW = 86_400


@dataclass(frozen=True)
class Tab:
    spent: int = 0
    ceiling: int = 0
    leaves_at: int = 0
    epoch: int = 0


@dataclass(frozen=True)
class Debt:
    """A voucher; with a `pull_to` it is a refill, which may pull until `pull_by`."""

    payer: str
    payee: str
    epoch: int
    cumulative: int
    pull_to: int | None = None
    pull_by: int = 0


@dataclass(frozen=True)
class Row:
    """A debt as it is claimed: for an amount of its own."""

    debt: Debt
    amount: int


@dataclass
class Model:
    """The token's balances and allowances, and the escrow's tabs and accounts."""

    balances: dict[str, int]
    allowances: dict[str, int] = field(default_factory=dict)
    tabs: dict[tuple[str, str], Tab] = field(default_factory=dict)
    owed: dict[str, int] = field(default_factory=dict)
    used: set[tuple[str, str, int]] = field(default_factory=set)
    keeps_a_tenth: bool = False
    refuses: bool = False

    def tab(self, payee: str, payer: str) -> Tab:
        return self.tabs.get((payee, payer), Tab())

    @property
    def held(self) -> int:
        """Give what the contract has to hold."""
        return sum(tab.ceiling - tab.spent for tab in self.tabs.values()) + sum(self.owed.values())

    @property
    def minted(self) -> int:
        return sum(self.balances.values())

    # Each gives whether the contract allows it, and does it where it does.

    def deposit(self, payee: str, payer: str, amount: int) -> bool:
        allowed = not self.tab(payee, payer).leaves_at and self._may_take(payer, amount)
        if allowed:
            self._take(payee, payer, amount)
        return allowed

    def top_up(self, payee: str, payer: str, epoch: int, ceiling: int, permitted: int | None) -> bool:
        """Deposit by a TopUp; `permitted` is the amount of a good permit, None is a bad one."""
        tab = self.tab(payee, payer)
        if tab.epoch != epoch or tab.leaves_at or ceiling <= tab.ceiling:
            return False
        before = self.allowances.get(payer, 0)
        if permitted is not None:
            self.allowances[payer] = permitted
        if self.deposit(payee, payer, ceiling - tab.ceiling):
            return True
        self.allowances[payer] = before
        return False

    def authorize(self, payee: str, payer: str, amount: int, salt: int, named: str) -> bool:
        """Deposit by an authorization whose nonce names `named` as the payee."""
        allowed = (
            named == payee
            and (payer, named, salt) not in self.used
            and not self.tab(payee, payer).leaves_at
            and 0 < amount <= self.balances[payer]
            and not self.refuses
            and self._arriving(amount) > 0
        )
        if allowed:
            self.used.add((payer, named, salt))
            self._move(payee, payer, amount)
        return allowed

    def claim(self, payee: str, rows: list[Row]) -> int:
        """Settle vouchers; give the bits of those that were settled."""
        settled = 0
        for place, row in enumerate(rows):
            if row.debt.pull_to is None and self._knows(payee, row):
                settled |= self._settle(payee, row) << place
        return settled

    def claim_refill(self, payee: str, rows: list[Row], now: int) -> tuple[int, int]:
        """Settle refills; give the bits of those that were settled, and that pulled something."""
        settled, pulled = 0, 0
        for place, row in enumerate(rows):
            if row.debt.pull_to is None or not self._knows(payee, row):
                continue
            pulled |= self._pull(payee, row.debt, now) << place
            settled |= self._settle(payee, row) << place
        return settled, pulled

    def close(
        self, payee: str, payer: str, epoch: int, amount: int, agreed: Debt | None, signer: str
    ) -> bool:
        tab = self.tab(payee, payer)
        consent = agreed is not None and (
            (agreed.payer, agreed.payee, agreed.epoch, agreed.pull_to) == (payer, payee, epoch, None)
            and amount <= agreed.cumulative
        )
        allowed = (
            signer == payee
            and epoch == tab.epoch
            and tab.ceiling > 0
            and tab.spent <= amount <= tab.ceiling
            and (amount == tab.spent or consent)
        )
        if allowed:
            self.owed[payee] = self.owed.get(payee, 0) + amount - tab.spent
            self._end(payee, payer, tab.ceiling - amount)
        return allowed

    def begin_exit(self, payee: str, payer: str, epoch: int, now: int) -> bool:
        tab = self.tab(payee, payer)
        allowed = tab.epoch == epoch and tab.ceiling > 0 and not tab.leaves_at
        if allowed:
            self.tabs[payee, payer] = replace(tab, leaves_at=now + WINDOW)
        return allowed

    def finish_exit(self, payee: str, payer: str, now: int) -> bool:
        tab = self.tab(payee, payer)
        allowed = 0 < tab.leaves_at <= now
        if allowed:
            self._end(payee, payer, tab.ceiling - tab.spent)
        return allowed

    def payout(self, payee: str) -> bool:
        amount = self.owed.get(payee, 0)
        if amount:
            self.owed[payee] = 0
            self.balances[payee] += amount
        return amount > 0

    def _knows(self, payee: str, row: Row) -> bool:
        debt = row.debt
        known = row.amount <= debt.cumulative and debt.payee == payee
        return known and debt.epoch == self.tab(payee, debt.payer).epoch

    def _settle(self, payee: str, row: Row) -> bool:
        tab = self.tab(payee, row.debt.payer)
        if not tab.spent < row.amount <= tab.ceiling:
            return False
        self.owed[payee] = self.owed.get(payee, 0) + row.amount - tab.spent
        self.tabs[payee, row.debt.payer] = replace(tab, spent=row.amount)
        return True

    def _pull(self, payee: str, debt: Debt, now: int) -> bool:
        tab = self.tab(payee, debt.payer)
        amount = (debt.pull_to or 0) - tab.ceiling
        if amount <= 0 or tab.leaves_at or now > debt.pull_by or not self._allows(debt.payer, amount):
            return False
        self._take(payee, debt.payer, amount)
        return self._arriving(amount) > 0  # of a pull of one unit the token keeps all

    def _may_take(self, payer: str, amount: int) -> bool:
        return self._allows(payer, amount) and self._arriving(amount) > 0

    def _allows(self, payer: str, amount: int) -> bool:
        return amount <= min(self.balances[payer], self.allowances.get(payer, 0)) and not self.refuses

    def _take(self, payee: str, payer: str, amount: int) -> None:
        self.allowances[payer] -= amount
        self._move(payee, payer, amount)

    def _move(self, payee: str, payer: str, amount: int) -> None:
        tab = self.tab(payee, payer)
        self.balances[payer] -= amount
        self.tabs[payee, payer] = replace(tab, ceiling=tab.ceiling + self._arriving(amount))

    def _arriving(self, amount: int) -> int:
        return amount * 9 // 10 if self.keeps_a_tenth else amount

    def _end(self, payee: str, payer: str, returned: int) -> None:
        self.balances[payer] += returned
        self.tabs[payee, payer] = Tab(epoch=self.tab(payee, payer).epoch + 1)
