"""The machine that finds no bug in ChargeTab finds those that are planted: a few here, all in `make soak`."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.chain import CONTRACTS, Chain, Contract, Person, running_anvil
from tests.contract.fickle_token import make_fickle
from tests.property.tab_bugs import BUGS, Bug, deploy_with
from tests.property.tab_machine import Money, furnish
from tests.property.tab_model import WINDOW

QUICKLY_FOUND = [
    bug
    for bug in BUGS
    if bug.name
    in (
        "a claim counts what was spent before once more",
        "a refill credits what did not arrive",
        "what ends begins no new epoch",
    )
]


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_anvil() as chain:
        yield chain


@pytest.fixture(scope="module")
def token(chain: Chain) -> Contract:
    return make_fickle(chain)


def is_found(bug: Bug, chain: Chain, token: Contract, examples: int) -> bool:
    with chain.undone():
        sender = Person.make(chain, "deployer").address
        tab = deploy_with(bug, chain, token.address, WINDOW, sender=sender)
        furnish(chain, token, tab)
        machine = type("Money", (Money,), {"chain": chain, "token": token, "tab": tab})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],  # found is enough: nobody reads the shortest way there
                    suppress_health_check=[*HealthCheck],
                ),
            )
        except AssertionError:
            return True
        return False


@pytest.mark.parametrize("bug", QUICKLY_FOUND, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, chain: Chain, token: Contract) -> None:
    assert is_found(bug, chain, token, examples=300)


@pytest.mark.soak
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_planted_bug_is_found(bug: Bug, chain: Chain, token: Contract) -> None:
    assert is_found(bug, chain, token, examples=3_000)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_bug_can_still_be_planted(bug: Bug) -> None:
    assert (CONTRACTS / "lib" / f"{bug.module}.vy").read_text().count(bug.line) == 1, "the source has changed"
