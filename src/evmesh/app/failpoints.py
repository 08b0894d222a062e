"""Crash points: the kill tests name one, and the process ends there as if it had been killed.

Armed by a file, so that one run can be crashed again and again: the file holds a point's name, and
is removed just before the process kills itself.
"""

import os
import signal
from pathlib import Path


class Failpoint:
    """Kills this process at the point that the file names."""

    def __init__(self, armed: Path) -> None:
        self._armed = armed

    def __call__(self, name: str) -> None:
        """Pass, or end here."""
        try:
            wanted = self._armed.read_text().strip()
        except FileNotFoundError:
            return
        if wanted == name:
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
