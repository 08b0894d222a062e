"""All stations as one `ChargePoint`: those that connect over OCPP, and those that are driven from here."""

from collections.abc import Mapping

from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitProfile
from evmesh.domain.units import W
from evmesh.ports import ChargePoint


class ChargePoints:
    """Sends each command to whoever has the station; `others` has all that are not named."""

    def __init__(self, others: ChargePoint, named: Mapping[StationId, ChargePoint]) -> None:
        self._others = others
        self._named = named

    def is_connected(self, station: StationId) -> bool:
        """Say whether it can be asked now."""
        return self._of(station).is_connected(station)

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        """Ask for a transaction; False where the station rejects it."""
        return await self._of(connector.station).remote_start(connector, id_tag)

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        """Ask for the end; False where the station knows no such transaction."""
        return await self._of(station).remote_stop(station, transaction_id)

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        """Send the transaction's profile; False where rejected."""
        return await self._of(connector.station).set_limit(connector, transaction_id, profile)

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        """Limit transactions without a profile of their own; False where rejected."""
        return await self._of(connector.station).set_default_limit(connector, limit)

    def _of(self, station: StationId) -> ChargePoint:
        return self._named.get(station, self._others)
