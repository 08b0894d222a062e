"""A service runs until it is cancelled; when what it needs is away it is started again."""

import asyncio

import structlog

from evmesh.domain.errors import Unavailable
from evmesh.ports import AsyncService

_log = structlog.get_logger(__name__)


async def supervise(service: AsyncService, *, first_delay_s: float = 0.5, max_delay_s: float = 30) -> None:
    """Run `service` for ever; start it again on Unavailable only, with back-off."""
    delay = first_delay_s
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await service.run()
        except* Unavailable as gone:
            if loop.time() - began > max_delay_s:
                delay = first_delay_s
            _log.warning("service.away", service=service.name, why=str(gone.exceptions[0]))
        await asyncio.sleep(delay)
        delay = min(2 * delay, max_delay_s)


async def run_all(services: tuple[AsyncService, ...]) -> None:
    """Run all of them until cancelled; one programming error stops everything, loudly."""
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(supervise(service))
