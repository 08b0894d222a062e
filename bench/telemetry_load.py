"""The messages that telemetry benchmarks send, how they are sent, and a clock that stands still."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from aiomqtt import Client

from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.topics import Reading, encode, new_boot, value_topic

CHARGERS: Final = 100
START: Final = datetime(2026, 6, 1, tzinfo=UTC)
_TOGETHER: Final = 100


class StillClock:
    """Time that does not pass."""

    def now(self) -> datetime:
        """Give the start."""
        return START

    def monotonic(self) -> float:
        """Give nothing passed."""
        return 0.0

    async def sleep_until(self, instant: datetime) -> None:
        """Return at once."""


def reading(number: int, boot: str, a_second: int = 1) -> Reading:
    """Give one reading of many, charger by charger; `a_second` of them have the same time."""
    at = START + timedelta(seconds=number // a_second)
    value = TelemetryValue(f"cp-{number % CHARGERS}", "PowerOutput", at, 7_000 + number)
    return Reading(value, boot, number // CHARGERS + 1)


def messages(count: int, a_second: int = 1) -> list[tuple[str, bytes]]:
    """Give topics and payloads of one run of one publisher."""
    boot = new_boot("platform")
    readings = [reading(number, boot, a_second) for number in range(count)]
    return [(value_topic(one.value.charger, one.value.name), encode(one)) for one in readings]


def subscriber(port: int, identifier: str) -> Client:
    """Give a client for which the broker keeps what comes."""
    return Client("127.0.0.1", port, identifier=identifier, clean_session=False)


async def publish(port: int, messages: list[tuple[str, bytes]]) -> None:
    """Send them, many under way at a time; the broker has all when this returns."""
    async with Client("127.0.0.1", port) as client:
        client.pending_calls_threshold = 1_000
        for start in range(0, len(messages), _TOGETHER):
            async with asyncio.TaskGroup() as group:
                for topic, payload in messages[start : start + _TOGETHER]:
                    group.create_task(client.publish(topic, payload, qos=1))
