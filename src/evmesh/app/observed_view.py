"""Chargers that are only looked at, as the page shows them: from the time series, never for billing."""

from collections.abc import Mapping, Sequence
from typing import Any

from evmesh.app.config import SiteConfig
from evmesh.app.instants import instant
from evmesh.app.site_parts import ObservedConfig
from evmesh.domain.telemetry import Availability, OperationState, TelemetryValue, ValueName
from evmesh.ports import TelemetryStore

Json = dict[str, Any]


class ObservedView:
    """What the gateway has said of a site's observed chargers."""

    def __init__(self, telemetry: TelemetryStore, site: SiteConfig) -> None:
        self._telemetry = telemetry
        self._groups: Mapping[str, Sequence[ObservedConfig]] = {
            group.name: group.observed for group in site.groups
        }

    async def of(self, group: str) -> list[Json]:
        """Give a group's chargers with their last values; what is not known is null."""
        return [await self._shown(one) for one in self._groups.get(group, ())]

    async def _shown(self, one: ObservedConfig) -> Json:
        last = await self._telemetry.last(one.name)
        available = last.get(ValueName.AVAILABILITY)
        online = available is not None and available.value == Availability.ONLINE
        state = last.get(ValueName.OPERATION_STATE)
        power = last.get(ValueName.POWER_OUTPUT)
        return {
            "name": one.name,
            "make": one.info.vendor,
            "model": one.info.model,
            "rating_w": one.rating,
            "online": online,
            "state": state.value if online and state is not None else OperationState.UNKNOWN.value,
            "power_w": _number(power) if online else None,
            "session_wh": _number(last.get(ValueName.SESSION_ENERGY)) if online else None,
            "current_ma": _number(last.get(ValueName.MAXIMUM_OUTPUT_CURRENT)) if online else None,
            "measured_at": instant(max(told.at for told in last.values())) if online else None,
        }


def _number(value: TelemetryValue | None) -> int | None:
    return value.value if value is not None and isinstance(value.value, int) else None
