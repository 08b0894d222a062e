"""What is read back of the time series, as JSON; one place for the command line and the API."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from evmesh.app.telemetry_words import written
from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import ANOTHER_METER, TelemetryValue, ValueName
from evmesh.domain.telemetry_summary import QUARTER_S, Period, Summary, energy_per, summarise
from evmesh.ports import TelemetryHistory

Json = dict[str, Any]
MOST_POINTS: Final = 10_000
_RECENT: Final = timedelta(hours=1)
"""How long before its newest value a conflict of names is still told."""

_QUARTER: Final = timedelta(seconds=QUARTER_S)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def last_values(store: TelemetryHistory, charger: str) -> Json:
    """Give the newest of each value."""
    found = await store.last(charger)
    values = {name: {"at": written(one.at), "value": one.value} for name, one in sorted(found.items())}
    return {"charger": charger, "values": values, "warnings": _warnings(found)}


def _warnings(found: Mapping[str, TelemetryValue]) -> list[str]:
    """Give what an operator should do something about, in words."""
    conflict = found.get(ValueName.NAME_CONFLICTS)
    if conflict is None or max(one.at for one in found.values()) - conflict.at > _RECENT:
        return []
    return [
        f"two programs of the name {conflict.charger} push each other off the broker ({conflict.value} times,"
        f" last {written(conflict.at)}): stop one, or give it another name in its site file, and enrol it"
    ]


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
    swaps = await _swaps(store, charger, _EPOCH if before is None else before.at, end)
    quarters = await store.summaries(charger, name, start, end, QUARTER_S)
    if swaps:
        quarters = await _parted(store, charger, quarters, swaps, end)
    rows = [
        {"start": one.start.isoformat(), "wh": one.wh, "went_back": one.went_back, "swapped": one.swapped}
        for one in energy_per(period, quarters, register, zone, swaps)
    ]
    return {"charger": charger, "per": str(period), "time_zone": str(zone), "energy": rows}


async def _swaps(store: TelemetryHistory, charger: str, after: datetime, end: datetime) -> list[datetime]:
    """Give when the meter behind a charger became another one, in (after, end)."""
    meter = ""
    found: list[datetime] = []
    async for some in store.stream(charger, ValueName.METER_ID, _EPOCH, end):
        for one in some:
            told = "" if one.value is None else str(one.value)
            if told in ("", meter):
                continue
            if (meter or told.startswith(ANOTHER_METER)) and one.at > after:
                found.append(one.at)
            meter = told
    return found


async def _parted(
    store: TelemetryHistory,
    charger: str,
    quarters: Sequence[Summary],
    swaps: Sequence[datetime],
    end: datetime,
) -> list[Summary]:
    """Give the quarter-hours, each in which the meter was swapped in parts: a part has one meter only."""
    found: list[Summary] = []
    for one in quarters:
        over = min(one.at + _QUARTER, end)
        cuts = [at for at in swaps if one.first_at < at <= one.last_at]
        parts: list[Summary] = []
        for first, last in zip([one.first_at, *cuts], [*cuts, over], strict=True) if cuts else ():
            readings = [
                (reading.at, reading.value)
                async for some in store.stream(charger, ValueName.TOTAL_ENERGY_CONSUMPTION, first, last)
                for reading in some
                if isinstance(reading.value, int)
            ]
            parts += summarise(readings, QUARTER_S).values()
        found += parts or [one]  # readings are kept less long than their sums
    return found


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
