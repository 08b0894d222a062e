"""Notices that a chain has lost its newest blocks, and has the relayers send them again.

A development chain loses them when it is killed; another chain when it is reorganised deeper than
the confirmations that were waited for. A relayer finds out by itself when it next sends something;
this looks also while nobody sends.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Unavailable
from evmesh.ledger.relayer import Recovery, Relayer
from evmesh.ledger.rpc import JsonRpc

_log = structlog.get_logger(__name__)
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
                seen = await self._newest()
            except Unavailable:
                pass  # the node is away: what it still knows is seen when it is back
            except EvmeshError as error:
                _log.warning("chain_watch.failed", code=error.code, what=error.what)
            await asyncio.sleep(self._look_s)

    async def _newest(self) -> tuple[str, str]:
        block = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, dict) or not {"number", "hash"} <= block.keys():
            raise ProtocolViolation("chain.no_block", "the node knows no newest block")
        return block["number"], block["hash"]

    async def _is_there(self, number: str, block_hash: str) -> bool:
        block = await self._rpc.call("eth_getBlockByNumber", number, False)
        return block is not None and block["hash"] == block_hash

    async def _recover(self) -> None:
        for relayer in self._relayers:
            recovery = await relayer.recover()
            if recovery.resent:
                self._on_recovery(recovery)
