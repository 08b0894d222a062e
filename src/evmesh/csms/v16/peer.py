"""One connected station, as the handlers of its messages see it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from evmesh.csms.config import CsmsConfig
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.ports import ChargePointEvents, Clock


class Registration(Enum):
    """What the station's last BootNotification on this connection was answered."""

    UNKNOWN = auto()
    """None yet: a station that lost only its connection does not boot again, and may go on."""
    ACCEPTED = auto()
    REJECTED = auto()


@dataclass(slots=True)
class Peer:
    """Who talks, and to whom it is passed on."""

    station: StationId
    events: ChargePointEvents
    clock: Clock
    config: CsmsConfig
    registration: Registration = Registration.UNKNOWN

    def connector(self, number: int) -> ConnectorRef:
        """Name one of its connectors; 0 is the station as a whole."""
        return ConnectorRef(self.station, number)

    def now(self) -> datetime:
        """Give platform time."""
        return self.clock.now()


_LONGEST: Final = 255


def storable(text: str) -> str:
    """Give a station's text as any database takes it: at most 255 characters, none of them NUL."""
    return text[:_LONGEST].replace("\0", "\N{REPLACEMENT CHARACTER}")
