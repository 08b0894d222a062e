"""A gateway's process, `evmesh.app.gateway`, whose clock stands still while the machine does not let it run.

A driver that blocks its loop counts as little as a machine that is busy: this is for bounds on what waits.
"""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import uvloop

from evmesh.app import gateway
from evmesh.app.clock import WallClock
from tests.contract.patient_loop import PatientLoop

BEGAN = datetime.now(UTC)


class StandingClock(WallClock):
    """The time of the loop."""

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(work: Coroutine[Any, Any, bool]) -> bool:
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    with (
        patch.object(uvloop, "run", run),
        patch.multiple(WallClock, now=StandingClock.now, monotonic=StandingClock.monotonic),
    ):
        sys.exit(gateway.main())
