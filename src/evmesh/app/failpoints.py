"""Crash points: the kill tests name one, and the process ends there as if it had been killed.

Armed by a file, so that one run can be crashed again and again: the file holds a point's name, and
is removed just before the process kills itself. With ` stop` behind the name it stops itself, so that who
armed it can look at what it leaves, and kills it then: a supervisor would start the next one meanwhile.
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
            wanted, _, how = self._armed.read_text().strip().partition(" ")
        except FileNotFoundError:
            return
        if wanted == name:
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)
