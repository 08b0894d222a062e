"""Real servers for the contract suites."""

from collections.abc import Iterator

import pytest

from tests.contract.chain import Chain, running_anvil


@pytest.fixture(scope="session")
def anvil() -> Iterator[Chain]:
    """One chain for the whole run: each test undoes what it did."""
    with running_anvil() as chain:
        yield chain


@pytest.fixture
def chain(anvil: Chain) -> Iterator[Chain]:
    """The chain as it was when the run began."""
    with anvil.undone():
        yield anvil
