"""Receipts for all who wait at the same time, asked for together: many transactions cost few round trips."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from evmesh.ledger.rpc import JsonRpc

_ASKED_TOGETHER: Final = 50
"""Nodes limit how much one request may hold."""

Receipt = dict[str, Any]


class ReceiptPoll:
    """Whoever comes while a round is under way joins the next one."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc
        self._lock = asyncio.Lock()
        self._wanted: Counter[str] = Counter()
        self._begun = 0
        self._done = 0
        self._answers: dict[str, Receipt | None] = {}

    async def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """Give the receipt of each, None where there is none; the node is asked after this is called."""
        first = self._begun + 1  # the round under way may have asked for none of ours
        self._wanted.update(hashes)
        try:
            async with self._lock:
                if self._done < first:
                    self._begun += 1
                    self._answers = await self._ask(list(self._wanted))
                    self._done = self._begun
                return [self._answers[tx_hash] for tx_hash in hashes]
        finally:
            self._wanted -= Counter(hashes)

    async def _ask(self, hashes: Sequence[str]) -> dict[str, Receipt | None]:
        answers: dict[str, Receipt | None] = {}
        for place in range(0, len(hashes), _ASKED_TOGETHER):
            some = hashes[place : place + _ASKED_TOGETHER]
            found = await self._rpc.batch([("eth_getTransactionReceipt", (one,)) for one in some])
            answers.update(zip(some, found, strict=True))
        return answers
