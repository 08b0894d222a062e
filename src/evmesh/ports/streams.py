"""The further streams of leaves, and what drivers sign of their sessions' records, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.commitment import Stream, StreamLeaf
from evmesh.domain.ids import SessionId


class StreamUnit(Protocol):
    """The part of a database transaction that knows streams. Nothing in a stream is ever changed."""

    async def append_stream_leaf(self, leaf: StreamLeaf) -> None:
        """Add to a stream; the index must be the next one, or the insert fails."""

    async def stream_size(self, stream: Stream) -> int: ...

    async def stream_hashes(self, stream: Stream, start: int, end: int) -> Sequence[bytes]:
        """Leaf hashes [start, end), in order; fewer where the stream is shorter."""

    async def stream_leaves_of(self, stream: Stream, ref: str) -> Sequence[StreamLeaf]:
        """The leaves that are found by `ref`, oldest first."""

    async def add_stream_head(self, stream: Stream, size: int, root: bytes, seen_at: datetime) -> None:
        """Keep a head of ours that was seen on chain; the first time it was seen stays."""

    async def stream_head(self, stream: Stream, covering: int | None = None) -> tuple[int, bytes] | None:
        """(size, root) of the newest head on chain; or of the first one that covers leaf `covering`."""

    async def add_countersignature(self, session: SessionId, signature: bytes, at: datetime) -> None:
        """Keep the driver's signature; the first one stays."""

    async def countersignature(self, session: SessionId) -> bytes | None: ...

    async def unrecorded(self, receipt_format: str, ended_by: datetime, limit: int) -> Sequence[SessionId]:
        """Sessions with a receipt that ended and are in no record yet; those that ended first, first.

        Only those whose driver has signed, or that ended at `ended_by` or before.
        """
