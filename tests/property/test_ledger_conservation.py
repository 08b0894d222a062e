"""Whatever people do to a ChargeTab, and in whatever order, no unit of money appears or is lost."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.chain import Person, running_anvil
from tests.contract.fickle_token import make_fickle
from tests.property.tab_machine import Money, furnish
from tests.property.tab_model import WINDOW


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Money]]:
    with running_anvil() as chain:
        deployer = Person.make(chain, "deployer")
        token = make_fickle(chain)
        tab = chain.deploy("ChargeTab", token.address, WINDOW, sender=deployer.address)
        furnish(chain, token, tab)
        yield type("Money", (Money,), {"chain": chain, "token": token, "tab": tab})


def test_no_unit_appears_or_is_lost(machine: type[Money]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[*HealthCheck]
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
