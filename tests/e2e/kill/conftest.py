"""One world a module: its tests kill in it one after another, the last ones audit it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.kill.books import Books
from tests.e2e.kill.stage import Stage, open_stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("kill")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(stage: Stage) -> Books:
    """Give what stands in the books after all that the module's tests have killed."""
    return await stage.close()
