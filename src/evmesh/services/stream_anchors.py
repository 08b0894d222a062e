"""The heads of the further streams go on chain together, once in a quarter of an hour.

The step begins shortly before each boundary of the grid, so that what was planned by then is on chain
before the first step that it plans: a promise begins at least START_ALLOWANCE after it was given. The
purpose key of the transaction is the step, so neither a crash nor a chain that was away makes two of it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.commitment import Stream
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.time_grid import STEP_S
from evmesh.ports import Clock, Notary
from evmesh.services.records import Records
from evmesh.services.stream_trees import KnownHead, StreamTrees
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
AHEAD: Final = timedelta(minutes=5)
"""How long before a boundary of the grid the anchor is due: less than START_ALLOWANCE, so that a promise
which is given after it begins at the boundary after the next at the earliest."""

FOREIGN_HEAD: Final = "notary.foreign_head"


class StreamAnchors:
    """Runs until cancelled; Unavailable, when the chain is away, is for the supervisor to try again."""

    name = "streams"

    def __init__(
        self, transitions: Transitions, clock: Clock, notary: Notary, trees: StreamTrees, records: Records
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._notary = notary
        self._trees = trees
        self._records = records
        self._since: float | None = None

    @property
    def wait_s(self) -> float:
        """How long the anchor that is under way has taken, in wall seconds: platform time waits for it."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since

    async def run(self) -> None:
        """Anchor what has grown, in each step once, for ever."""
        while True:
            now, self._since = self._clock.now(), asyncio.get_running_loop().time()
            try:
                await self.anchor(now)
            except Unavailable:
                raise
            except EvmeshError as error:
                _log.error("streams.not_anchored", code=error.code, what=error.what)
            finally:
                self._since = None
            await self._clock.sleep_until(next_due(now))

    async def anchor(self, now: datetime) -> None:
        """Record the sessions that ended, and anchor every stream that has grown."""
        await self._records.gather()
        async with self._transitions.read() as unit:
            await self._trees.refresh(unit)
        heads = [await self._look(stream, now) for stream in Stream]
        grown = [
            (stream.id, self._trees.log(stream).size, self._trees.log(stream).root())
            for stream, head in zip(Stream, heads, strict=True)
            if head.is_ours and self._trees.log(stream).size > head.size
        ]
        if not grown:
            return
        self._transitions.checkpoint("streams:before_send")
        mined = await self._notary.anchor_many(grown, key=f"streams:{step_of(now)}")
        self._transitions.checkpoint("streams:after_send")
        for stream in Stream:  # where this step's anchor was sent before a crash it was a smaller one
            await self._look(stream, now)
        _log.info("streams.anchored", streams=len(grown), block=mined.block, gas=mined.gas_used)

    async def _look(self, stream: Stream, now: datetime) -> KnownHead:
        """Read the newest head on chain; one of ours is kept, so that proofs can be given under it."""
        head = self._trees.note(stream, *await self._notary.head(stream.id))
        if not head.is_ours:
            _log.error(FOREIGN_HEAD, stream=stream.value, size=head.size, root=head.root.hex())
        elif head.size:
            async with self._transitions.read() as unit:
                await unit.add_stream_head(stream, head.size, head.root, now)
        return head


def step_of(now: datetime) -> int:
    """Give the number of the anchor's step: it begins AHEAD of the grid's."""
    return int((now + AHEAD).timestamp()) // STEP_S


def next_due(now: datetime) -> datetime:
    """Give the beginning of the anchor's next step."""
    return datetime.fromtimestamp((step_of(now) + 1) * STEP_S, UTC) - AHEAD
