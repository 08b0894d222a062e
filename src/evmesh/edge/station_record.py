"""What a station from parts remembers over a power cut, and what it still has to tell."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from evmesh.domain.ids import ConnectorRef
from evmesh.domain.stations import LimitProfile, MeterSample, StartedTransaction
from evmesh.domain.units import MIN_CURRENT, Milliamp, W, Wh


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One station with one connector. Times named `_s` are the wall's, the others the platform's."""

    connector: ConnectorRef
    phases: int
    max_current: Milliamp
    """What cable, fuse and contactor carry."""
    safe_current: Milliamp = MIN_CURRENT
    """What holds where no limit speaks; a controller that cannot offer so little offers none."""
    interval_s: float = 1.0
    patience_s: float = 10.0
    """How long meter or controller may be away in a charge before it is ended."""
    settle_s: float = 3.0
    """How long a car may take to let go, and a meter to show it, after the current is off."""
    sample_every: timedelta = timedelta(seconds=30)
    start_within: timedelta = timedelta(minutes=5)
    """How long a start that was asked for waits for a car."""


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Somebody may charge here: a charge begins with the first car until `until`."""

    id_tag: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """A running charge. `local` is the station's own number: the database's comes with the answer."""

    local: int
    start: StartedTransaction
    last: Wh
    """The register that was read last; no later one is lower."""
    sampled_at: datetime
    profile: LimitProfile | None = None
    stopping: str = ""
    """Why it is being ended, in OCPP's words; empty while it is not."""
    meter: str = ""
    """Which meter it began with; empty where that was not known."""
    is_meter_gone: bool = False
    """That meter was swapped for another: `last` is its last word, and the charge ends with it."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that survives."""

    charges: int = 0
    """How many have begun."""
    authorisation: Authorisation | None = None
    charge: Charge | None = None
    default_limit: W | None = None
    is_over: bool = False
    """A charge has ended, and its car is still there."""


@dataclass(frozen=True, slots=True)
class Begun:
    """To tell: a charge has begun."""

    local: int
    start: StartedTransaction


@dataclass(frozen=True, slots=True)
class Sampled:
    """To tell: what the meter said in it."""

    local: int
    sample: MeterSample


@dataclass(frozen=True, slots=True)
class Ended:
    """To tell: it has ended."""

    local: int
    at: datetime
    register: Wh
    reason: str


Happening = Begun | Sampled | Ended
