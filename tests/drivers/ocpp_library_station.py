"""A charging station made of the `ocpp` library's own ChargePoint: code that is not ours speaks to ours.

`LibraryStation.at(url, id)` connects one; `charge` drives one whole charge, begun and ended by the
central system, against whatever platform listens at the URL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 90


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Charge:
    """What the station did and was told in one charge. Registers are in Wh."""

    id_tag: str
    transaction_id: int
    accepted: str
    meter_start: int
    meter_stop: int
    profiles: list[dict[str, Any]] = field(default_factory=list)


class LibraryStation(ChargePoint):  # type: ignore[misc]  # the library ships no types
    """A station with one connector and a meter, which does what it is told and counts energy."""

    def __init__(self, id_: str, socket: Any, now: Callable[[], datetime]) -> None:
        super().__init__(id_, socket)
        self._now = now
        self.register = 1_000_000
        self.keys: dict[str, str] = {}
        self.profiles: list[dict[str, Any]] = []
        self.remote_starts: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.remote_stops: asyncio.Queue[int] = asyncio.Queue()
        self.transaction_id: int | None = None

    @classmethod
    @asynccontextmanager
    async def at(
        cls, url: str, id_: str, now: Callable[[], datetime] = wall_clock
    ) -> AsyncIterator["LibraryStation"]:
        """Connect to `{url}/{id_}`, e.g. `ws://127.0.0.1:9000/ocpp/CP-1`, and read until the block ends."""
        async with connect(f"{url}/{id_}", subprotocols=["ocpp1.6"]) as socket:  # type: ignore[list-item]
            station = cls(id_, socket, now)
            reading = asyncio.create_task(station._read_all())
            try:
                yield station
            finally:
                reading.cancel()
                await asyncio.wait([reading])

    async def _read_all(self) -> None:
        try:
            await self.start()
        except ConnectionClosed:
            return

    async def boot(self) -> Any:
        """Say who it is, and that its connector is free."""
        answer = await self.call(
            call.BootNotification(
                charge_point_model="Library", charge_point_vendor="ocpp", firmware_version="1.0"
            )
        )
        if answer.status == "Accepted":
            await self.say("Available")
        return answer

    async def say(self, status: str) -> None:
        """Send a StatusNotification of connector 1."""
        await self.call(
            call.StatusNotification(
                connector_id=1, error_code="NoError", status=status, timestamp=self._stamp()
            )
        )

    async def charge(self, samples: int = 3, step_wh: int = 500, *, authorize: bool = True) -> Charge:
        """Wait for a remote start, charge, send samples, and stop when told to."""
        async with asyncio.timeout(PATIENCE_S):
            connector, id_tag = await self.remote_starts.get()
        await self.say("Preparing")
        if authorize:
            await self.call(call.Authorize(id_tag=id_tag))
        meter_start = self.register
        answer = await self.call(
            call.StartTransaction(
                connector_id=connector, id_tag=id_tag, meter_start=meter_start, timestamp=self._stamp()
            )
        )
        self.transaction_id = answer.transaction_id
        await self.say("Charging")
        for _ in range(samples):
            await self.meter(step_wh)
        async with asyncio.timeout(PATIENCE_S):
            await self.remote_stops.get()
        await self._stop(answer.transaction_id, id_tag)
        charge = Charge(
            id_tag,
            answer.transaction_id,
            answer.id_tag_info["status"],
            meter_start,
            self.register,
            list(self.profiles),
        )
        self.transaction_id = None
        return charge

    async def meter(self, step_wh: int) -> None:
        """Count energy and send a sample of it."""
        self.register += step_wh
        await self.call(
            call.MeterValues(
                connector_id=1,
                transaction_id=self.transaction_id,
                meter_value=[self._sample("Sample.Periodic")],
            )
        )

    async def _stop(self, transaction_id: int, id_tag: str) -> None:
        await self.call(
            call.StopTransaction(
                meter_stop=self.register,
                timestamp=self._stamp(),
                transaction_id=transaction_id,
                id_tag=id_tag,
                reason="Remote",
                transaction_data=[self._sample("Transaction.End")],
            )
        )
        await self.say("Finishing")
        await self.say("Available")

    def _sample(self, context: str) -> dict[str, Any]:
        return {
            "timestamp": self._stamp(),
            "sampled_value": [
                {
                    "value": f"{self.register / 1000:.3f}",
                    "context": context,
                    "measurand": "Energy.Active.Import.Register",
                    "unit": "kWh",
                },
                {"value": "7360.5", "context": context, "measurand": "Power.Active.Import", "unit": "W"},
                {"value": "41", "context": context, "measurand": "SoC", "unit": "Percent"},
            ],
        }

    def _stamp(self) -> str:
        # Whole seconds, as many stations write them.
        return self._now().replace(microsecond=0).isoformat()

    @on("RemoteStartTransaction")  # type: ignore[untyped-decorator]
    def _on_remote_start(self, id_tag: str, connector_id: int = 1, **_: Any) -> Any:
        if self.transaction_id is not None:
            return call_result.RemoteStartTransaction(status="Rejected")
        self.remote_starts.put_nowait((connector_id, id_tag))
        return call_result.RemoteStartTransaction(status="Accepted")

    @on("RemoteStopTransaction")  # type: ignore[untyped-decorator]
    def _on_remote_stop(self, transaction_id: int) -> Any:
        if transaction_id != self.transaction_id:
            return call_result.RemoteStopTransaction(status="Rejected")
        self.remote_stops.put_nowait(transaction_id)
        return call_result.RemoteStopTransaction(status="Accepted")

    @on("SetChargingProfile")  # type: ignore[untyped-decorator]
    def _on_set_charging_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        self.profiles.append({"connector_id": connector_id, **cs_charging_profiles})
        is_default = cs_charging_profiles["charging_profile_purpose"] == "TxDefaultProfile"
        known = is_default or cs_charging_profiles.get("transaction_id") == self.transaction_id
        return call_result.SetChargingProfile(status="Accepted" if known else "Rejected")

    @on("ChangeConfiguration")  # type: ignore[untyped-decorator]
    def _on_change_configuration(self, key: str, value: str) -> Any:
        self.keys[key] = value
        return call_result.ChangeConfiguration(status="Accepted")
