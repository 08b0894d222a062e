"""Append-only Merkle trees, RFC 9162 section 2.1, over SHA-256.

A log keeps the hash of every complete subtree, level by level, so appending costs O(1) hashes on
the mean, and any older root or proof is a walk over what is kept. Who checks a proof uses
`verify/merkle.py`, which shares no code with this.
"""

from collections.abc import Iterable
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Give the hash of a leaf: SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class MerkleLog:
    """A log of leaf hashes that proves what it holds and that it only grew."""

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        # _levels[k][i] is the root of the complete subtree over leaves [i·2^k, (i+1)·2^k).
        self._levels: list[list[bytes]] = [list(leaf_hashes)]
        while len(below := self._levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self._levels.append([node_hash(left, right) for left, right in pairs])

    @property
    def size(self) -> int:
        """Leaves in the log."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Add one leaf hash; give its index."""
        self._levels[0].append(leaf)
        level = 0
        while len(below := self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(below[-2], below[-1]))
            level += 1
        return self.size - 1

    def root(self, size: int | None = None) -> bytes:
        """Give the root over the first `size` leaves; over all by default."""
        size = self.size if size is None else size
        self._require(0 <= size <= self.size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Give RFC 9162's PATH(index, D[size]), from the leaf upwards."""
        size = self.size if size is None else size
        self._require(0 <= index < size <= self.size)
        path: list[bytes] = []
        start, width = 0, size
        while width > 1:
            left = _left_width(width)
            if index < start + left:
                path.append(self._subtree(start + left, width - left))
                width = left
            else:
                path.append(self._subtree(start, left))
                start, width = start + left, width - left
        return path[::-1]

    def consistency_proof(self, first: int, second: int | None = None) -> list[bytes]:
        """Give RFC 9162's PROOF(first, D[second]): that the first `first` leaves are still the same.

        Empty where the sizes are equal, and from the empty log, which everything extends.
        """
        second = self.size if second is None else second
        self._require(0 <= first <= second <= self.size)
        if first in (0, second):
            return []
        path: list[bytes] = []
        start, width, known = 0, second, True
        while (old := first - start) != width:
            left = _left_width(width)
            if old <= left:
                path.append(self._subtree(start + left, width - left))
                width = left
            else:
                path.append(self._subtree(start, left))
                start, width, known = start + left, width - left, False
        if not known:
            path.append(self._subtree(start, width))
        return path[::-1]

    def _subtree(self, start: int, width: int) -> bytes:
        """Hash leaves [start, start + width), where start is a multiple of the next power of two."""
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._levels[level][start >> level]
        left = _left_width(width)
        return node_hash(self._subtree(start, left), self._subtree(start + left, width - left))

    def _require(self, holds: bool) -> None:
        if not holds:
            raise IndexError(f"the log holds {self.size} leaves")


def _left_width(width: int) -> int:
    """Give the largest power of two below `width`, for width > 1."""
    return 1 << (width - 1).bit_length() - 1
