"""One running platform for all tests of `evmesh wallet pay`: its stations are code that is not ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wallet.yard import Yard, running_yard


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """The platform with six stations, each for the test that takes it."""
    directory: Path = tmp_path_factory.mktemp("yard")
    with running_yard(directory) as yard:
        yield yard
