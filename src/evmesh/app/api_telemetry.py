"""Routes that read the time series back: last values, ranges, energy."""

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query

from evmesh.app.telemetry_reads import energy, last_values, value_range
from evmesh.app.telemetry_words import between, value_of, width_of, zone_of
from evmesh.domain.telemetry_summary import Period
from evmesh.ports import TelemetryHistory

Json = dict[str, Any]

Charger = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$")]
From = Annotated[str, Query(alias="from", description="RFC 3339, or a date", max_length=40)]
To = Annotated[str, Query(alias="to", description="not included", max_length=40)]
Value = Annotated[str, Query(description="such as PowerOutput", max_length=40)]
Resolution = Annotated[str | None, Query(description="10s, 15m, 1h, 1d; without it every reading")]
Zone = Annotated[str, Query(max_length=60)]


def add_telemetry(app: FastAPI, *, store: TelemetryHistory) -> None:
    """Add them."""

    @app.get("/v1/telemetry/{charger}")
    async def last(charger: Charger) -> Json:
        """Give the newest of each value of a charger."""
        return await last_values(store, charger)

    @app.get("/v1/telemetry/{charger}/range")
    async def read_range(
        charger: Charger, value: Value, start: From, end: To, resolution: Resolution = None
    ) -> Json:
        """Give a value from one instant to another: every reading, or one point a stretch of time."""
        width_s = None if resolution is None else width_of(resolution)
        return await value_range(store, charger, value_of(value), *between(start, end), width_s)

    @app.get("/v1/telemetry/{charger}/energy")
    async def read_energy(
        charger: Charger, start: From, end: To, per: Period = Period.DAY, time_zone: Zone = "UTC"
    ) -> Json:
        """Give the metered energy per hour, day or month of a time zone."""
        return await energy(store, charger, per, *between(start, end), zone_of(time_zone))
