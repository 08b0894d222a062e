"""Commands find the station that they are for."""

from datetime import UTC, datetime

from evmesh.app.charge_points import ChargePoints
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitProfile
from evmesh.domain.units import W

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Heard:
    """A ChargePoint that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def is_connected(self, station: StationId) -> bool:
        self.asked.append(f"connected {station}")
        return True

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        self.asked.append(f"start {connector}")
        return True

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        self.asked.append(f"stop {station}")
        return True

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        self.asked.append(f"limit {connector}")
        return True

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        self.asked.append(f"default {connector}")
        return True


async def test_each_command_goes_to_whoever_has_the_station() -> None:
    others, ours = Heard(), Heard()
    points = ChargePoints(others, {StationId("parts"): ours})
    for name in ("parts", "ocpp"):
        station = StationId(name)
        ref = ConnectorRef(station, 1)
        assert points.is_connected(station)
        assert await points.remote_start(ref, "tag")
        assert await points.remote_stop(station, 7)
        assert await points.set_limit(ref, 7, LimitProfile(NOW, NOW, (), "test"))
        assert await points.set_default_limit(ref, W(1))
    words = ("connected {}", "start {}/1", "stop {}", "limit {}/1", "default {}/1")
    assert ours.asked == [word.format("parts") for word in words]
    assert others.asked == [word.format("ocpp") for word in words]
