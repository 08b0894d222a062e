"""A process that says what time it is, in microseconds, for each line that it is sent.

Run as `python -m tests.drivers.clock_reader CLOCK_FILE`.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evmesh.app.clock import SharedClock

ROUNDS = 200


def read(path: Path) -> None:
    for _ in sys.stdin:
        # A fresh reader each time, so that no memory of its own hides a step back.
        elapsed = SharedClock(path).now() - datetime(1970, 1, 1, tzinfo=UTC)
        sys.stdout.write(f"{elapsed // timedelta(microseconds=1)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    read(Path(sys.argv[1]))
