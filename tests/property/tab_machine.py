"""A machine of drivers, operators and a thief around one ChargeTab on anvil, beside the model.

Vouchers, refills and closes are signed at one time and used at any other, by anybody, as often as it comes.
The token keeps a tenth, or refuses, when it is told to. After each step both have to hold the same.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tests.contract.chain import CHAIN_ID, Chain, Contract, Person, Reverted, compact
from tests.contract.fickle_token import Mood
from tests.property.tab_model import Debt, Model, Row, Tab

START, DEPOSITED = 1_000, 150
FOREVER = 2**32 - 1
UNLIMITED = 10**9
FIELDS = {
    "Voucher": "address payee,uint32 epoch,uint96 cumulative",
    "Refill": "address payee,uint32 epoch,uint96 cumulative,uint96 ceiling,uint32 deadline",
    "TopUp": "address payee,uint32 epoch,uint96 ceiling,uint256 deadline",
    "Close": "address payer,uint32 epoch,uint96 amount,uint256 deadline",
    "Exit": "address payee,uint32 epoch",
    "Claim": "bytes32 rows,uint256 deadline",
    "Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
    "ReceiveWithAuthorization": (
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    ),
}
PAYERS = ("driver", "other driver", "operator")
PAYEES = ("operator", "other operator")
NAMES = (*PAYERS, "other operator", "thief")

payees = st.sampled_from(PAYEES)
payers = st.sampled_from(PAYERS)
units = st.integers(0, 400)
few_units = st.integers(0, 90)
rarely = st.sampled_from([False, False, False, False, True])
offs = st.sampled_from([0, 0, 0, -1, -20, 1])
at_onces = st.sampled_from([None, 0, 0, -5, 1])
senders = st.sampled_from([0, 0, 1, 2])


@dataclass(frozen=True)
class SignedClose:
    signer: str
    payer: str
    epoch: int
    amount: int
    signature: tuple[int, int]


def furnish(chain: Chain, token: Contract, tab: Contract) -> None:
    """Give each payer money, a tab with each payee, and the readiness to refill it."""
    for name in PAYERS:
        payer = Person.make(chain, name).address
        token.send("mint", payer, START, sender=payer)
        token.send("approve", tab.address, UNLIMITED + len(PAYEES) * DEPOSITED, sender=payer)
        for payee in PAYEES:
            tab.send("deposit", Person.make(chain, payee).address, DEPOSITED, sender=payer)


class Money(RuleBasedStateMachine):
    """`chain`, and furnished `token` and `tab`, are set by who runs it; each example undoes what it did."""

    chain: Chain
    token: Contract
    tab: Contract

    debts = Bundle("debts")
    closes = Bundle("closes")

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.held.enter_context(self.chain.undone())
        self.people = {name: Person.make(self.chain, name) for name in NAMES}
        left = START - len(PAYEES) * DEPOSITED
        self.model = Model(
            balances=dict.fromkeys(NAMES, 0) | dict.fromkeys(PAYERS, left),
            allowances=dict.fromkeys(PAYERS, UNLIMITED),
            tabs={(payee, payer): Tab(ceiling=DEPOSITED) for payee in PAYEES for payer in PAYERS},
        )
        self.signatures: dict[Debt, tuple[int, int]] = {}
        self.now = self.chain.now()

    def teardown(self) -> None:
        self.held.close()

    # Money comes in

    @rule(payer=payers, amount=st.sampled_from([0, 50, 300, UNLIMITED]))
    def allow(self, payer: str, amount: int) -> None:
        self.token.send("approve", self.tab.address, amount, sender=self._at(payer))
        self.model.allowances[payer] = amount

    @rule(payee=payees, payer=payers, amount=units)
    def deposit(self, payee: str, payer: str, amount: int) -> None:
        """Approve and deposit, as wallets do."""
        self.allow(payer, amount)
        allowed = self.model.deposit(payee, payer, amount)
        self._done(allowed, "deposit", self._at(payee), amount, sender=payer)

    @rule(payee=payees, payer=payers, to=st.integers(0, 900), permit=st.booleans(), sent_to=payees)
    def top_up(self, payee: str, payer: str, to: int, permit: bool, sent_to: str) -> None:
        """Deposit by signatures; the thief may send them for another payee than they name."""
        tab = self.model.tab(payee, payer)
        value = max(0, to - tab.ceiling)
        top_up = self._sign(payer, "TopUp", self._at(payee), tab.epoch, to, FOREVER)
        nonce = self.token.call("nonces", self._at(payer)) + (not permit)
        permission = (self._at(payer), self.tab.address, value, nonce, FOREVER)
        v, r, s = self._raw(payer, self.token, "DevEUR", "Permit", *permission)
        permitted = (value, FOREVER, v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))
        allowed = payee == sent_to and self.model.top_up(
            payee, payer, tab.epoch, to, value if permit else None
        )
        arguments = (self._at(sent_to), self._at(payer), tab.epoch, to, FOREVER, *top_up, *permitted)
        self._done(allowed, "deposit_with_permit", *arguments, sender="thief")

    @rule(payee=payees, payer=payers, amount=units, salt=st.integers(0, 3), named=payees)
    def authorize(self, payee: str, payer: str, amount: int, salt: int, named: str) -> None:
        salted = salt.to_bytes(32, "big")
        nonce = keccak(encode(["address", "bytes32"], [self._at(named), salted]))
        fields = (self._at(payer), self.tab.address, amount, 0, FOREVER, nonce)
        v, r, s = self._raw(payer, self.token, "DevEUR", "ReceiveWithAuthorization", *fields)
        allowed = self.model.authorize(payee, payer, amount, salt, named)
        arguments = (self._at(payee), self._at(payer), amount, 0, FOREVER, salted)
        signature = (v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))
        self._done(allowed, "deposit_with_authorization", *arguments, *signature, sender="thief")

    @rule(mood=st.sampled_from([Mood.FAIR, Mood.FAIR, Mood.FAIR, Mood.FEE, Mood.SAYS_NO]))
    def the_token_changes_its_mood(self, mood: Mood) -> None:
        """One that refuses refuses payouts too, so it is fair again as soon as money goes out."""
        self.token.send("set_mood", mood, sender=self._at("thief"))
        self.model.keeps_a_tenth, self.model.refuses = mood is Mood.FEE, mood is Mood.SAYS_NO

    # What is signed now, and used at once or whenever

    @rule(target=debts, payee=payees, payer=payers, more=few_units, at_once=at_onces)
    def sign_voucher(self, payee: str, payer: str, more: int, at_once: int | None) -> Debt:
        tab = self.model.tab(payee, payer)
        debt = Debt(payer, payee, tab.epoch, tab.spent + more)
        self.signatures[debt] = self._sign(payer, "Voucher", self._at(payee), tab.epoch, debt.cumulative)
        if at_once is not None:
            self._claim_one(debt, at_once)
        return debt

    @rule(
        target=debts,
        payee=payees,
        payer=payers,
        more=few_units,
        pull=few_units,
        late=st.sampled_from([False, False, True]),
        at_once=at_onces,
    )
    def sign_refill(
        self, payee: str, payer: str, more: int, pull: int, late: bool, at_once: int | None
    ) -> Debt:
        debt = self._refill(payee, payer, more, pull, self.now - 1 if late else FOREVER)
        if at_once is not None:
            self._claim_one(debt, at_once)
        return debt

    @rule(
        target=closes,
        payee=payees,
        payer=payers,
        above=st.sampled_from([0, 0, 1, 100]),
        at_once=st.booleans(),
    )
    def sign_close(self, payee: str, payer: str, above: int, at_once: bool) -> SignedClose:
        tab = self.model.tab(payee, payer)
        amount = tab.spent + above
        signature = self._sign(payee, "Close", self._at(payer), tab.epoch, amount, FOREVER)
        close = SignedClose(payee, payer, tab.epoch, amount, signature)
        if at_once:
            self._close(close, payee, None, above // 100)
        return close

    @rule(debts=st.lists(debts, min_size=1, max_size=4), off=offs, sender=senders, astray=rarely)
    def claim(self, debts: list[Debt], off: int, sender: int, astray: bool) -> None:
        """Claim what was signed for the first one's payee (or another), for as much, for less or for more."""
        payee = self._payee(debts[0].payee, astray)
        rows = [Row(debt, max(0, debt.cumulative + off * place)) for place, debt in enumerate(debts, 1)]
        self._claim(payee, [row for row in rows if row.debt.pull_to is None], sender)
        self._claim_refill(payee, [row for row in rows if row.debt.pull_to is not None], sender)

    @rule(debt=debts)
    def claim_what_was_signed(self, debt: Debt) -> None:
        self._claim_one(debt, 0)

    @rule(close=closes, astray=rarely, agreed=debts, agrees=st.booleans(), short=st.sampled_from([0, 0, 1]))
    def close(self, close: SignedClose, astray: bool, agreed: Debt, agrees: bool, short: int) -> None:
        """Use a close with the payer's consent, to all of it or not, or with any voucher in its place."""
        self._close(close, self._payee(close.signer, astray), None if agrees else agreed, short)

    @rule(payee=payees, pull=few_units, poor=payers)
    def refill_from_all(self, payee: str, pull: int, poor: str) -> None:
        """One batch from several payers, of whom one has nothing to take."""
        debts = [self._refill(payee, payer, 1, pull, FOREVER) for payer in PAYERS]
        self.allow(poor, 0)
        self._claim_refill(payee, [Row(debt, debt.cumulative) for debt in debts], 0)

    @rule(debt=debts, amount=few_units, how=st.sampled_from(["leaving", "left", "closed"]))
    def keep_what_was_signed_past_the_end(self, debt: Debt, amount: int, how: str) -> None:
        """The tab is being left, or has ended and is filled again; then somebody comes with an old debt."""
        if how == "closed":
            self.sign_close(debt.payee, debt.payer, 0, True)
        else:
            self.begin_exit(debt.payee, debt.payer, False, 0, False)
        if how == "left":
            self.finish_exit(debt.payee, debt.payer, True)
        self.deposit(debt.payee, debt.payer, amount)
        self.allow(debt.payer, UNLIMITED)
        self._claim_one(debt, 0)

    # Ways out

    @rule(
        payee=payees, payer=payers, by_signature=st.booleans(), ago=st.sampled_from([0, 0, 1]), hasty=rarely
    )
    def begin_exit(self, payee: str, payer: str, by_signature: bool, ago: int, hasty: bool) -> None:
        epoch = max(0, self.model.tab(payee, payer).epoch - ago * by_signature)
        allowed = self.model.begin_exit(payee, payer, epoch, 0)
        if by_signature:
            signature = self._sign(payer, "Exit", self._at(payee), epoch)
            arguments = (self._at(payee), self._at(payer), epoch, *signature)
            self._done(allowed, "begin_exit_signed", *arguments, sender="thief")
        else:
            self._done(allowed, "begin_exit", self._at(payee), sender=payer)
        if allowed:  # the block's own time is known when it is made
            tab = self.model.tab(payee, payer)
            self.now = self.chain.now()
            self.model.tabs[payee, payer] = replace(tab, leaves_at=tab.leaves_at + self.now)
        if hasty:
            self.finish_exit(payee, payer, False)

    @rule(payee=payees, payer=payers, patient=st.booleans())
    def finish_exit(self, payee: str, payer: str, patient: bool) -> None:
        self._fair_again()
        if patient and self.model.tab(payee, payer).leaves_at > self.now:
            self.a_day_passes()
        allowed = self.model.finish_exit(payee, payer, self.now)
        self._done(allowed, "finish_exit", self._at(payee), self._at(payer), sender="thief")

    @rule(payee=payees)
    def payout(self, payee: str) -> None:
        self._fair_again()
        self._done(self.model.payout(payee), "payout", self._at(payee), sender="thief")

    @rule()
    def a_day_passes(self) -> None:
        self.chain.pass_time(86_400)
        self.now = self.chain.now()

    # What has to hold

    @invariant()
    def contract_and_model_agree(self) -> None:
        """Every tab, account and balance; and what the contract holds is what it owes."""
        pairs, names = list(self.model.tabs), list(self.model.balances)
        held, *found = self.chain.read_many(
            [
                (self.token, "balanceOf", (self.tab.address,)),
                *((self.tab, "tab", (self._at(payee), self._at(payer))) for payee, payer in pairs),
                *((self.token, "balanceOf", (self._at(name),)) for name in names),
                *((self.tab, "account", (self._at(name),)) for name in names),
            ]
        )
        tabs, rest = found[: len(pairs)], found[len(pairs) :]
        balances, accounts = rest[: len(names)], rest[len(names) :]
        for pair, words in zip(pairs, tabs, strict=True):
            tab = self.model.tabs[pair]
            assert words == (tab.spent, tab.ceiling, tab.leaves_at, tab.epoch), pair
        assert dict(zip(names, balances, strict=True)) == self.model.balances
        for name, (earned, paid) in zip(names, accounts, strict=True):
            assert earned - paid == self.model.owed.get(name, 0), name
        assert held == self.model.held

    @staticmethod
    def _payee(payee: str, astray: bool) -> str:
        return next(other for other in PAYEES if other != payee) if astray else payee

    def _refill(self, payee: str, payer: str, more: int, pull: int, by: int) -> Debt:
        tab = self.model.tab(payee, payer)
        debt = Debt(payer, payee, tab.epoch, tab.spent + more, tab.ceiling + pull, by)
        fields = (self._at(payee), tab.epoch, debt.cumulative, debt.pull_to, by)
        self.signatures[debt] = self._sign(payer, "Refill", *fields)
        return debt

    def _claim_one(self, debt: Debt, off: int) -> None:
        claim = self._claim if debt.pull_to is None else self._claim_refill
        claim(debt.payee, [Row(debt, max(0, debt.cumulative + off))], 0)

    def _close(self, close: SignedClose, payee: str, agreed: Debt | None, short: int) -> None:
        self._fair_again()
        if agreed is None:
            agreed = Debt(close.payer, payee, close.epoch, max(0, close.amount - short))
            fields = (self._at(payee), close.epoch, agreed.cumulative)
            self.signatures[agreed] = self._sign(close.payer, "Voucher", *fields)
        allowed = self.model.close(payee, close.payer, close.epoch, close.amount, agreed, close.signer)
        arguments = (self._at(payee), self._at(close.payer), close.epoch, close.amount, FOREVER)
        consent = (agreed.cumulative, *self.signatures[agreed])
        self._done(allowed, "close", *arguments, *close.signature, *consent, sender="thief")

    def _claim(self, payee: str, rows: list[Row], sender: int) -> None:
        words = [[*self._signature(row), self._amounts(row)] for row in rows]
        arguments, from_, allowed = self._claimant(payee, words, sender)
        settled = self.model.claim(payee, rows) if allowed else 0
        receipt = self._done(allowed, "claim", *arguments, sender=from_)
        if receipt:
            assert receipt.events("Claimed")[0]["settled"] == settled

    def _claim_refill(self, payee: str, rows: list[Row], sender: int) -> None:
        words = [
            [*self._signature(row), self._amounts(row), (row.debt.pull_to or 0) | row.debt.pull_by << 96]
            for row in rows
        ]
        arguments, from_, allowed = self._claimant(payee, words, sender)
        settled, pulled = self.model.claim_refill(payee, rows, self.now) if allowed else (0, 0)
        receipt = self._done(allowed, "claim_refill", *arguments, sender=from_)
        if receipt:
            assert receipt.events("Claimed")[0]["settled"] == settled
            assert receipt.events("Refilled")[0]["pulled"] == pulled

    def _claimant(
        self, payee: str, words: list[list[int]], sender: int
    ) -> tuple[tuple[object, ...], str, bool]:
        """Give arguments, sender, and whether it may: the payee, anybody with its Claim, a thief without."""
        if sender == 0:
            return (words,), payee, True
        signer = payee if sender == 1 else "thief"
        width = len(words[0]) if words else 3
        rows = keccak(encode([f"uint256[{width}][]"], [words]))
        signature = list(self._sign(signer, "Claim", rows, FOREVER))
        return (words, self._at(payee), FOREVER, signature), "thief", sender == 1

    def _signature(self, row: Row) -> tuple[int, int]:
        return self.signatures[row.debt]

    @staticmethod
    def _amounts(row: Row) -> int:
        return row.amount | row.debt.cumulative << 96 | row.debt.epoch << 192

    def _fair_again(self) -> None:
        if self.model.refuses:
            self.the_token_changes_its_mood(Mood.FAIR)

    def _done(self, allowed: bool, name: str, *arguments: object, sender: str) -> Any:
        """Send; the contract has to allow just what the model allows. Give the receipt, None if refused."""
        receipt, refused = None, ""
        try:
            receipt = self.tab.send(name, *arguments, sender=self._at(sender))
        except Reverted as error:
            refused = str(error)
        assert allowed == (receipt is not None), f"{name}: {refused or 'was not refused'}"
        return receipt

    def _at(self, name: str) -> str:
        return self.people[name].address

    def _sign(self, signer: str, primary: str, *values: object) -> tuple[int, int]:
        return compact(self._raw(signer, self.tab, "ChargeTab", primary, *values))

    def _raw(
        self, signer: str, contract: Contract, name: str, primary: str, *values: object
    ) -> tuple[int, int, int]:
        domain: dict[str, object] = {
            "name": name,
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": contract.address,
        }
        names = [field.split()[1] for field in FIELDS[primary].split(",")]
        return self.people[signer].sign(
            domain, primary, FIELDS[primary], dict(zip(names, values, strict=True))
        )
