"""One value of a charger at one time: what flows on the bus and into the time series."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TelemetryValue:
    """One value of the generic charger state, DESIGN section 8: topic `chargers/{charger}/{value}`."""

    charger: str
    name: str
    at: datetime
    value: int | str | None
