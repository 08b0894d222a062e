"""What is read back of the time series, as JSON; one place for the command line and the API."""

from datetime import datetime, tzinfo
from typing import Any, Final

from evmesh.app.telemetry_words import written
from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.domain.telemetry_summary import QUARTER_S, Period, Summary, energy_per
from evmesh.ports import TelemetryHistory

Json = dict[str, Any]
MOST_POINTS: Final = 10_000


async def last_values(store: TelemetryHistory, charger: str) -> Json:
    """Give the newest of each value."""
    found = await store.last(charger)
    values = {name: {"at": written(one.at), "value": one.value} for name, one in sorted(found.items())}
    return {"charger": charger, "values": values}


async def value_range(
    store: TelemetryHistory, charger: str, name: str, start: datetime, end: datetime, width_s: int | None
) -> Json:
    """Give a value in [start, end): each reading, or one line a stretch. Raises InvalidInput for too many."""
    points: list[Json] = []
    if width_s is None:
        async for some in store.stream(charger, name, start, end):
            points += [_point(one) for one in some]
            if len(points) > MOST_POINTS:
                raise _too_many()
    else:
        if (end - start).total_seconds() / width_s > MOST_POINTS:
            raise _too_many()
        points = [_stretch(one) for one in await store.summaries(charger, name, start, end, width_s)]
    return {"charger": charger, "value": name, "resolution_s": width_s, "points": points}


async def energy(
    store: TelemetryHistory, charger: str, period: Period, start: datetime, end: datetime, zone: tzinfo
) -> Json:
    """Give the metered energy of each hour, day or month, from the lifetime register."""
    name = ValueName.TOTAL_ENERGY_CONSUMPTION
    before = await store.before(charger, name, start)
    register = before.value if before is not None and isinstance(before.value, int) else None
    quarters = await store.summaries(charger, name, start, end, QUARTER_S)
    rows = [
        {"start": one.start.isoformat(), "wh": one.wh, "went_back": one.went_back}
        for one in energy_per(period, quarters, register, zone)
    ]
    return {"charger": charger, "per": str(period), "time_zone": str(zone), "energy": rows}


def _point(one: TelemetryValue) -> Json:
    return {"at": written(one.at), "value": one.value}


def _stretch(one: Summary) -> Json:
    return {
        "at": written(one.at),
        "count": one.count,
        "mean": one.mean,
        "lowest": one.lowest,
        "highest": one.highest,
        "first": one.first,
        "last": one.last,
    }


def _too_many() -> InvalidInput:
    return InvalidInput(
        "telemetry.too_many_points",
        f"these are more than {MOST_POINTS} points",
        do="ask for a shorter time or a wider resolution, or export it with `evmesh telemetry export`",
        path="resolution",
    )
