"""A platform's services on a real database in a fresh directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.world import Driver, World, open_world


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services look again soon: what they wait for here is a test."""
    monkeypatch.setattr("evmesh.services.caretaker._POLL_S", 0.02)
    monkeypatch.setattr("evmesh.services.effects._POLL_S", 0.02)
    monkeypatch.setattr("evmesh.services.effects._RETRY_S", (0.02, 0.05, 0.1, 0.2))
    monkeypatch.setattr("evmesh.services.control._POLL_S", 0.02)
    monkeypatch.setattr("evmesh.services.stops._POLL_S", 0.02)


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
