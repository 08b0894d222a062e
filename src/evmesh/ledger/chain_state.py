"""The embedded chain's state on disk: what anvil dumped last, whole or not at all.

anvil writes its own state file in place, and a kill truncates it; so its state is asked for by RPC,
written beside, synced, and renamed.
"""

import asyncio
import gzip
import json
import os
import threading
import zlib
from pathlib import Path

from evmesh.domain.errors import IntegrityFailure
from evmesh.ledger.rpc import JsonRpc, from_hex


class StateFile:
    """`state.json.gz`, the bytes that `anvil_dumpState` gives."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json.gz"
        self._unpacked = directory / "state.json"
        self._taken = 0
        self._written = 0
        self._writing = threading.Lock()

    async def dump(self, rpc: JsonRpc) -> None:
        """Replace the file by the node's present state; durable when this returns.

        One that is cancelled may still be writing when the next begins: that one waits, and an older
        state never follows a newer one.
        """
        state = from_hex(await rpc.call("anvil_dumpState"))
        self._taken += 1
        await asyncio.to_thread(self._write, self._taken, state)

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

    def _write(self, number: int, state: bytes) -> None:
        with self._writing:
            if number > self._written:
                self._replace(state)
                self._written = number

    def _replace(self, state: bytes) -> None:
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
