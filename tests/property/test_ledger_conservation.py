"""Whatever people do to a ChargeTab, and in whatever order, no unit of money appears or is lost.

A machine of drivers, operators and a thief runs against the contract on anvil and, step by step, against a
model of the rules in plain Python. After each step balances, tabs and accounts have to agree.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.contract.chain import Chain, Contract, Person, Reverted, compact, running_anvil
from tests.contract.tab_world import FOREVER, WINDOW

START = 1_000
FIELDS = {
    "Voucher": "address payee,uint32 epoch,uint96 cumulative",
    "Close": "address payer,uint32 epoch,uint96 amount,uint256 deadline",
    "Exit": "address payee,uint32 epoch",
}

payees = st.sampled_from(["operator", "other operator"])
payers = st.sampled_from(["driver", "other driver", "operator"])
units = st.integers(0, 600)
epochs_ago = st.sampled_from([0, 0, 0, 0, 1])


@dataclass(frozen=True)
class TabModel:
    spent: int = 0
    ceiling: int = 0
    leaves_at: int = 0
    epoch: int = 0

    def closed(self) -> "TabModel":
        return TabModel(epoch=self.epoch + 1)


class Money(RuleBasedStateMachine):
    chain: Chain
    token: Contract

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.held.enter_context(self.chain.undone())
        names = ("driver", "other driver", "operator", "other operator", "thief")
        self.people = {name: Person.make(self.chain, name) for name in names}
        thief = self.people["thief"].address
        self.tab = self.chain.deploy("ChargeTab", self.token.address, WINDOW, sender=thief)
        for name in ("driver", "other driver", "operator"):
            minter = self.token.call("minter")
            self.token.send("mint", self.people[name].address, START, sender=minter)
            self.token.send("approve", self.tab.address, 2**256 - 1, sender=self.people[name].address)
        self.tabs: dict[tuple[str, str], TabModel] = {}
        self.balances = dict.fromkeys(names, 0) | {"driver": START, "other driver": START, "operator": START}
        self.owed = dict.fromkeys(names, 0)

    def teardown(self) -> None:
        self.held.close()

    @rule(payee=payees, payer=payers, amount=units)
    def deposit(self, payee: str, payer: str, amount: int) -> None:
        tab = self._tab(payee, payer)
        allowed = 0 < amount <= self.balances[payer] and not tab.leaves_at
        if self._done(allowed, "deposit", self._at(payee), amount, sender=payer):
            self.balances[payer] -= amount
            self.tabs[payee, payer] = replace(tab, ceiling=tab.ceiling + amount)

    @rule(payee=payees, rows=st.lists(st.tuples(payers, units, units, epochs_ago), min_size=1, max_size=4))
    def claim(self, payee: str, rows: list[tuple[str, int, int, int]]) -> None:
        words = []
        for payer, amount, cumulative, ago in rows:
            tab = self._tab(payee, payer)
            epoch = tab.epoch - min(ago, tab.epoch)
            signature = self._sign(payer, "Voucher", self._at(payee), epoch, cumulative)
            words.append([*signature, amount | cumulative << 96 | epoch << 192])
            if tab.epoch == epoch and tab.spent < amount <= min(cumulative, tab.ceiling):
                self.owed[payee] += amount - tab.spent
                self.tabs[payee, payer] = replace(tab, spent=amount)
        self._done(True, "claim", words, sender=payee)

    @rule(payee=payees, payer=payers, amount=units, agreed=units, ago=epochs_ago, signer=payees)
    def close(self, payee: str, payer: str, amount: int, agreed: int, ago: int, signer: str) -> None:
        tab = self._tab(payee, payer)
        epoch = tab.epoch - min(ago, tab.epoch)
        allowed = (
            signer == payee
            and epoch == tab.epoch
            and tab.ceiling > 0
            and tab.spent <= amount <= tab.ceiling
            and (amount == tab.spent or amount <= agreed)
        )
        close = self._sign(signer, "Close", self._at(payer), epoch, amount, FOREVER)
        consent = self._sign(payer, "Voucher", self._at(payee), epoch, agreed)
        arguments = (self._at(payee), self._at(payer), epoch, amount, FOREVER, *close, agreed, *consent)
        if self._done(allowed, "close", *arguments, sender="thief"):
            self.owed[payee] += amount - tab.spent
            self.balances[payer] += tab.ceiling - amount
            self.tabs[payee, payer] = tab.closed()

    @rule(payee=payees, payer=payers, by_signature=st.booleans())
    def begin_exit(self, payee: str, payer: str, by_signature: bool) -> None:
        tab = self._tab(payee, payer)
        allowed = tab.ceiling > 0 and not tab.leaves_at
        if by_signature:
            exit_ = self._sign(payer, "Exit", self._at(payee), tab.epoch)
            arguments = (self._at(payee), self._at(payer), tab.epoch, *exit_)
            done = self._done(allowed, "begin_exit_signed", *arguments, sender="thief")
        else:
            done = self._done(allowed, "begin_exit", self._at(payee), sender=payer)
        if done:
            self.tabs[payee, payer] = replace(tab, leaves_at=self.chain.now() + WINDOW)

    @rule(payee=payees, payer=payers)
    def finish_exit(self, payee: str, payer: str) -> None:
        tab = self._tab(payee, payer)
        allowed = 0 < tab.leaves_at <= self.chain.now()
        if self._done(allowed, "finish_exit", self._at(payee), self._at(payer), sender="thief"):
            self.balances[payer] += tab.ceiling - tab.spent
            self.tabs[payee, payer] = tab.closed()

    @rule(payee=payees)
    def payout(self, payee: str) -> None:
        if self._done(self.owed[payee] > 0, "payout", self._at(payee), sender="thief"):
            self.balances[payee] += self.owed[payee]
            self.owed[payee] = 0

    @rule()
    def a_day_passes(self) -> None:
        self.chain.pass_time(WINDOW)

    @invariant()
    def contract_and_model_agree(self) -> None:
        for (payee, payer), tab in self.tabs.items():
            found = self.tab.call("tab", self._at(payee), self._at(payer))
            assert found == (tab.spent, tab.ceiling, tab.leaves_at, tab.epoch), (payee, payer)
        for name, balance in self.balances.items():
            assert self.token.call("balanceOf", self._at(name)) == balance, name
            earned, paid = self.tab.call("account", self._at(name))
            assert earned - paid == self.owed[name], name

    @invariant()
    def what_the_contract_holds_is_what_it_owes(self) -> None:
        unspent = sum(tab.ceiling - tab.spent for tab in self.tabs.values())
        assert self.token.call("balanceOf", self.tab.address) == unspent + sum(self.owed.values())

    def _done(self, allowed: bool, name: str, *arguments: object, sender: str) -> bool:
        """Send; the contract has to allow just what the model allows."""
        try:
            self.tab.send(name, *arguments, sender=self._at(sender))
            refused = ""
        except Reverted as error:
            refused = str(error)
        assert allowed == (not refused), f"{name}: {refused or 'was not refused'}"
        return allowed

    def _tab(self, payee: str, payer: str) -> TabModel:
        return self.tabs.get((payee, payer), TabModel())

    def _at(self, name: str) -> str:
        return self.people[name].address

    def _sign(self, signer: str, primary: str, *values: object) -> tuple[int, int]:
        domain = {
            "name": "ChargeTab",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": self.tab.address,
        }
        names = [field.split()[1] for field in FIELDS[primary].split(",")]
        message: dict[str, Any] = dict(zip(names, values, strict=True))
        return compact(self.people[signer].sign(domain, primary, FIELDS[primary], message))


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Money]]:
    with running_anvil() as chain:
        deployer = Person.make(chain, "deployer")
        Money.chain = chain
        Money.token = chain.deploy("DevToken", sender=deployer.address)
        yield Money


def test_no_unit_appears_or_is_lost(machine: type[Money]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[*HealthCheck]
        ),
    )


@pytest.mark.soak
def test_no_unit_appears_or_is_lost_in_a_long_run(machine: type[Money]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1_000, stateful_step_count=60, deadline=None, suppress_health_check=[*HealthCheck]
        ),
    )
