"""What stations said goes out as values on the bus: one retained topic per value, on change."""

from datetime import datetime

from evmesh.domain.ids import StationId
from evmesh.domain.sessions import Session
from evmesh.domain.stations import ConnectorStatus, MeterSample
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryBus
from evmesh.services.directory import Directory, Place

_OPERATION = {
    ConnectorStatus.CHARGING: "charging",
    ConnectorStatus.UNAVAILABLE: "scheduled_downtime",
    ConnectorStatus.FAULTED: "unscheduled_downtime",
}


class StateFeed:
    """Publishes the generic charger state of each connector."""

    def __init__(self, bus: TelemetryBus, directory: Directory) -> None:
        self._bus = bus
        self._directory = directory

    async def availability(self, station: StationId, online: bool, at: datetime) -> None:
        """Say whether a station's connectors can be reached."""
        for place in self._directory.places:
            if place.connector.ref.station == station:
                await self._put(place, "Availability", at, "online" if online else "offline")

    async def status(self, place: Place, status: ConnectorStatus, at: datetime) -> None:
        """Say what the connector does."""
        await self._put(place, "OperationState", at, _OPERATION.get(status, "idle"))
        if status is ConnectorStatus.AVAILABLE:
            await self._put(place, "PowerOutput", at, 0)
            await self._put(place, "StateOfCharge", at, None)

    async def sample(self, place: Place, sample: MeterSample, session: Session | None) -> None:
        """Say what the meter measured."""
        values: tuple[tuple[str, int | None], ...] = (
            ("TotalEnergyConsumption", sample.register),
            ("PowerOutput", sample.power),
            ("StateOfCharge", sample.soc_percent),
            ("MaximumOutputCurrent", sample.offered),
            ("SessionEnergy", session.delivered if session else None),
        )
        for name, value in values:
            if value is not None:
                await self._put(place, name, sample.at, value)

    async def _put(self, place: Place, name: str, at: datetime, value: int | str | None) -> None:
        charger = place.name.lower()
        await self._bus.publish(TelemetryValue(charger, name, at, value))
