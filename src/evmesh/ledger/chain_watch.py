"""Notices that a chain has lost its newest blocks, and has the relayers send them again.

A development chain loses them when it is killed; another chain when it is reorganised deeper than
the confirmations that were waited for. A relayer finds out by itself when it next sends something;
this looks also while nobody sends.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from evmesh.domain.errors import Unavailable
from evmesh.ledger.relayer import Recovery, Relayer
from evmesh.ledger.rpc import JsonRpc

_LOOK_S: Final = 1.0


class ChainWatch:
    """Runs until cancelled. `on_recovery` hears what was sent again, and what failed the second time."""

    name = "chain watch"

    def __init__(
        self,
        rpc: JsonRpc,
        relayers: Sequence[Relayer],
        *,
        on_recovery: Callable[[Recovery], object] = lambda _: None,
        look_s: float = _LOOK_S,
    ) -> None:
        self._rpc = rpc
        self._relayers = relayers
        self._on_recovery = on_recovery
        self._look_s = look_s

    async def run(self) -> None:
        """Compare the newest block with one that was seen, by number and by hash."""
        seen: tuple[str, str] | None = None
        while True:
            try:
                if seen is not None and not await self._is_there(*seen):
                    await self._recover()
                newest = await self._rpc.call("eth_getBlockByNumber", "latest", False)
                seen = (newest["number"], newest["hash"])
            except Unavailable:
                pass  # the node is away: what it still knows is seen when it is back
            await asyncio.sleep(self._look_s)

    async def _is_there(self, number: str, block_hash: str) -> bool:
        block = await self._rpc.call("eth_getBlockByNumber", number, False)
        return block is not None and block["hash"] == block_hash

    async def _recover(self) -> None:
        for relayer in self._relayers:
            recovery = await relayer.recover()
            if recovery.resent:
                self._on_recovery(recovery)
