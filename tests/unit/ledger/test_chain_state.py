"""Dumps of the embedded chain that overlap."""

import asyncio
import os
import threading
from pathlib import Path
from typing import cast

import pytest

from evmesh.ledger.chain_state import StateFile
from evmesh.ledger.rpc import JsonRpc


class Node:
    """A node whose state is the number of times that it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def call(self, method: str) -> str:
        assert method == "anvil_dumpState"
        self.asked += 1
        return f"0x{self.asked:02x}"


async def test_a_dump_that_was_cancelled_while_it_wrote_does_not_meet_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, node = StateFile(tmp_path), cast(JsonRpc, Node())
    is_writing, may_go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(file: int) -> None:
        if not is_writing.is_set():
            is_writing.set()
            may_go_on.wait(60)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)
    first = asyncio.create_task(state.dump(node))
    await asyncio.to_thread(is_writing.wait, 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(state.dump(node))
    while cast(Node, node).asked < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    may_go_on.set()
    await second
    assert state.path.read_bytes() == b"\x02"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.gz"]
