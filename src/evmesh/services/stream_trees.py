"""The trees over the further streams, as far as they are durable, and what of them the chain has."""

from dataclasses import dataclass

from evmesh.domain.commitment import Stream
from evmesh.domain.merkle import MerkleLog
from evmesh.ports import StreamUnit

_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The newest head of a stream on chain, when it was last looked at."""

    size: int
    root: bytes
    is_ours: bool
    """False where it is no head of our tree: somebody used our key, or our database is an old copy."""


class StreamTrees:
    """Grows with the database; never holds a leaf that a crash could take away again."""

    def __init__(self) -> None:
        self._logs = {stream: MerkleLog() for stream in Stream}
        self._heads: dict[Stream, KnownHead] = {}

    async def refresh(self, unit: StreamUnit) -> None:
        """Read what was appended since; `unit` has appended nothing itself."""
        for stream, log in self._logs.items():
            while hashes := await unit.stream_hashes(stream, log.size, log.size + _PAGE):
                for one in hashes:
                    log.append(one)

    def log(self, stream: Stream) -> MerkleLog:
        """Give the tree of a stream."""
        return self._logs[stream]

    def note(self, stream: Stream, size: int, root: bytes) -> KnownHead:
        """Compare the newest head on chain with the tree, and remember it."""
        log = self._logs[stream]
        is_ours = size == 0 or (size <= log.size and log.root(size) == root)
        head = self._heads[stream] = KnownHead(size, root, is_ours)
        return head

    def head(self, stream: Stream) -> KnownHead | None:
        """Give the newest head on chain; None before it was looked at."""
        return self._heads.get(stream)
