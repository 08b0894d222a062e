"""The chain's time as a clock: that of a development platform is not the wall's."""

from datetime import UTC, datetime, timedelta

from evmesh.app.clock import WallClock
from evmesh.app.node_reads import quantity
from evmesh.domain.errors import ProtocolViolation
from evmesh.ledger.rpc import JsonRpc
from evmesh.ports import Clock


class ShiftedClock:
    """The wall's clock, so far ahead or behind. Implements the port `Clock`."""

    def __init__(self, ahead: timedelta) -> None:
        self._wall = WallClock()
        self._ahead = ahead

    def now(self) -> datetime:
        return self._wall.now() + self._ahead

    def monotonic(self) -> float:
        return self._wall.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        await self._wall.sleep_until(instant - self._ahead)


async def chain_time(rpc: JsonRpc) -> int:
    """Give the chain's time in seconds since 1970: that of the next block, where the node tells it.

    On a quiet chain the newest block may be old.
    """
    newest = await rpc.block_time()
    try:
        pending = await rpc.call("eth_getBlockByNumber", "pending", False)
        return max(newest, quantity(pending, "timestamp"))
    except ProtocolViolation:
        return newest  # no node has to tell what is not there yet


async def chain_clock(rpc: JsonRpc) -> Clock:
    """Give a clock that begins at the chain's time; the wall's where that is within ten minutes."""
    wall = WallClock()
    ahead = datetime.fromtimestamp(await chain_time(rpc), UTC) - wall.now()
    return wall if abs(ahead) < timedelta(minutes=10) else ShiftedClock(ahead)
