"""Notices that a chain has lost its newest blocks, and has the relayers send them again.

A development chain loses them when it is killed; another chain when it is reorganised deeper than
the confirmations that were waited for. A relayer finds out by itself when it next sends something;
this looks also while nobody sends. What others sent in those blocks nobody here can send again: who
builds on it is told by `on_loss`, once ours is there again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Unavailable
from evmesh.ledger.relayer import Recovery, Relayer
from evmesh.ledger.rpc import JsonRpc

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 1.0
_REMEMBERED: Final = 128
"""Blocks that were the newest at some look: a change that is deeper is taken to go back to the first one."""


async def _nobody() -> None:
    """Nobody builds on what others sent."""


class ChainWatch:
    """Runs until cancelled. `on_recovery` hears what was sent again, and what failed the second time."""

    name = "chain watch"

    def __init__(
        self,
        rpc: JsonRpc,
        relayers: Sequence[Relayer],
        *,
        on_recovery: Callable[[Recovery], object] = lambda _: None,
        on_loss: Callable[[], Awaitable[object]] = _nobody,
        look_s: float = _LOOK_S,
    ) -> None:
        self._rpc = rpc
        self._relayers = relayers
        self._on_recovery = on_recovery
        self._on_loss = on_loss
        self._look_s = look_s
        self._seen: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Compare the newest block with those that were seen, by number and by hash."""
        while True:
            try:
                await self._look()
            except Unavailable:
                pass  # the node is away: what it still knows is seen when it is back
            except EvmeshError as error:
                _log.warning("chain_watch.failed", code=error.code, what=error.what)
            await asyncio.sleep(self._look_s)

    async def _look(self) -> None:
        """Look once; what was not dealt with to its end is seen again at the next look."""
        gone = None
        kept = len(self._seen)
        while kept and not await self._is_there(*self._seen[kept - 1]):
            kept -= 1
            gone = self._seen[kept][0]
        if gone is None and await self._has_lost():
            gone = self._seen[-1][0] + 1 if self._seen else 0  # a block that came and went between two looks
        if gone is not None:
            # All blocks after the newest one that is still there may be others now.
            await self._recover(from_block=self._seen[kept - 1][0] + 1 if kept else gone)
            while len(self._seen) > kept:
                self._seen.pop()
        newest = await self._newest()
        if not self._seen or self._seen[-1] != newest:
            self._seen.append(newest)

    async def _has_lost(self) -> bool:
        for relayer in self._relayers:
            if await relayer.has_lost():
                return True
        return False

    async def _newest(self) -> tuple[int, str]:
        block = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, dict) or not {"number", "hash"} <= block.keys():
            raise ProtocolViolation("chain.no_block", "the node knows no newest block")
        return int(block["number"], 16), block["hash"]

    async def _is_there(self, number: int, block_hash: str) -> bool:
        block = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
        return block is not None and block["hash"] == block_hash

    async def _recover(self, from_block: int) -> None:
        _log.warning("chain_watch.blocks_lost", from_block=from_block)
        for relayer in self._relayers:
            recovery = await relayer.recover(from_block=from_block)
            if recovery.resent or recovery.failed:
                self._on_recovery(recovery)
        await self._on_loss()
