"""A platform's services on a real database in a fresh directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.world import Driver, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


@pytest.fixture
def neighbour() -> Driver:
    return Driver("neighbour")


@pytest.fixture
def thief() -> Driver:
    return Driver("thief")
