"""Which meter a register device has: a lifetime register only goes on where it is the same one's.

A meter that was swapped was without power, so it did not answer for a while: its serial number is asked for
at first, after every silence, and whenever a register went back. Where it has none, a person says it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.telemetry import ANOTHER_METER

_log = structlog.get_logger(__name__)
_MOST_IN_VAIN: Final = 3
"""How often a meter is asked for its serial number without any answer; some hang at a register they lack."""

AskSerial = Callable[[], Awaitable[str]]


class MeterIdentity:
    """One device's meter, as far as it is known."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._serial = ""
        self._is_due = True
        self._in_vain = 0
        self.id = ""
        """Another text for another meter; empty where nothing says which it is."""

    def doubt(self) -> None:
        """Take note that the device was silent: it may be another one when it is back."""
        self._is_due = True

    def say_new(self, at: datetime) -> None:
        """Take a person's word that it is another meter from now on."""
        self._serial, self._is_due = "", True
        self.id = f"{ANOTHER_METER}{at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"

    async def is_another(self, ask: AskSerial, *, went_back: bool) -> bool:
        """Ask for the serial number where that is due, and tell whether it is another than before."""
        if not (self._is_due or went_back) or self._in_vain >= _MOST_IN_VAIN:
            return False
        self._in_vain += 1
        try:
            serial = await ask()
        except ProtocolViolation:
            serial = ""  # this one has no such register
        self._in_vain, self._is_due = 0, False
        if not serial or serial == self._serial:
            return False
        before, self._serial = self._serial, serial
        self.id = f"serial {serial}"
        if before:
            _log.warning("edge.meter_swapped", model=self._model, before=before, serial=serial)
        return bool(before)
