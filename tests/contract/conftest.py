"""Real servers for the contract suites."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.contract.chain import Chain, running_anvil
from tests.databases import Postgres, running_postgres
from tests.drivers.small_town import Town, small_town
from tests.timescale_server import installed


def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run a module's tests on the loop that it names LOOP: see `patient_loop.py`."""
    return {"loop": getattr(item.module, "LOOP", asyncio.new_event_loop)}


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL cluster for the whole run: each test makes a database of its own."""
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def timescale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of a PostgreSQL with TimescaleDB, fetched once; for the long tests."""
    return installed(tmp_path_factory.mktemp("timescale"))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """One station, an API and a fast clock, for simulated drivers."""
    async with small_town(tmp_path) as town:
        yield town
