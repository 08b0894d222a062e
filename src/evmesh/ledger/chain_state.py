"""The embedded chain's state on disk: what anvil dumped last, whole or not at all.

anvil writes its own state file in place, and a kill truncates it; so its state is asked for by RPC,
written beside, synced, and renamed.
"""

import asyncio
import gzip
import json
import os
import zlib
from pathlib import Path

from evmesh.domain.errors import IntegrityFailure
from evmesh.ledger.rpc import JsonRpc, from_hex


class StateFile:
    """`state.json.gz`, the bytes that `anvil_dumpState` gives."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json.gz"
        self._unpacked = directory / "state.json"

    async def dump(self, rpc: JsonRpc) -> None:
        """Replace the file by the node's present state; durable when this returns."""
        state = from_hex(await rpc.call("anvil_dumpState"))
        await asyncio.to_thread(self._write, state)

    async def unpack(self) -> Path | None:
        """Give the file that `anvil --load-state` takes; None where nothing was dumped yet.

        Loaded on its way up, so that nobody ever sees the node without its state. Raises
        IntegrityFailure `chain.bad_state`.
        """
        return await asyncio.to_thread(self._unpack)

    def _unpack(self) -> Path | None:
        try:
            raw = gzip.decompress(self.path.read_bytes())
            json.loads(raw)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise IntegrityFailure(
                "chain.bad_state",
                f"{self.path} cannot be read: {error}",
                do="restore it from a backup, or begin anew with another data directory",
            ) from error
        self._unpacked.write_bytes(raw)
        return self._unpacked

    def _write(self, state: bytes) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
