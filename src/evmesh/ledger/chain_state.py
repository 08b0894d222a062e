"""The embedded chain's state on disk: what anvil dumped last, whole or not at all.

anvil writes its own state file in place, and a kill truncates it; so its state is asked for by RPC,
written beside, synced, and renamed.
"""

import asyncio
import os
from pathlib import Path

from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.ledger.rpc import JsonRpc


class StateFile:
    """Hexadecimal of gzip, as `anvil_dumpState` gives it and `anvil_loadState` takes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    async def dump(self, rpc: JsonRpc) -> None:
        """Replace the file by the node's present state; durable when this returns."""
        state = await rpc.call("anvil_dumpState")
        await asyncio.to_thread(self._write, str(state))

    async def load(self, rpc: JsonRpc) -> None:
        """Give the node the state of the file; raises IntegrityFailure where it does not take it."""
        text = await asyncio.to_thread(self.path.read_text)
        try:
            taken = await rpc.call("anvil_loadState", text)
        except EvmeshError as error:
            if error.code == "chain.away":
                raise
            raise self._unreadable(error.what) from error
        if taken is not True:
            raise self._unreadable("the node did not take it")

    def _write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _unreadable(self, why: str) -> IntegrityFailure:
        return IntegrityFailure(
            "chain.bad_state",
            f"{self.path} cannot be loaded: {why}",
            do="restore it from a backup, or begin anew with another data directory",
        )
