"""Check Merkle proofs by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

Nothing here is shared with the code that makes the proofs.
"""

from collections.abc import Sequence
from hashlib import sha256

from evmesh.domain.errors import IntegrityFailure


def root_from_inclusion_proof(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Give the root that the proof leads to.

    Raises IntegrityFailure `merkle.malformed_proof` where no tree of `size` leaves has such a proof.
    """
    _require(0 <= index < size, f"leaf {index} is not in a tree of {size}")
    _require(all(len(node) == 32 for node in (leaf_hash, *proof)), "a hash is not 32 bytes long")
    position, last, node = index, size - 1, leaf_hash
    for sibling in proof:
        _require(last > 0, "the proof is too long")
        if position & 1 or position == last:
            node = _parent(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = _parent(node, sibling)
        position, last = position >> 1, last >> 1
    _require(last == 0, "the proof is too short")
    return node


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether the leaf is the `index`th of the `size` leaves under `root`."""
    try:
        return root_from_inclusion_proof(leaf_hash, index, size, proof) == root
    except IntegrityFailure:
        return False


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Say whether the tree of `second` leaves begins with all leaves of the tree of `first`."""
    if not 0 <= first <= second or any(len(node) != 32 for node in (first_root, second_root, *proof)):
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == sha256(b"").digest()
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    return bool(path) and _roots_from(path, first - 1, second - 1) == (first_root, second_root)


def _roots_from(path: Sequence[bytes], old_last: int, new_last: int) -> tuple[bytes, bytes] | None:
    """Give the (old, new) roots that a consistency path leads to; None where its length is wrong."""
    while old_last & 1:
        old_last, new_last = old_last >> 1, new_last >> 1
    old = new = path[0]
    for node in path[1:]:
        if new_last == 0:
            return None
        if old_last & 1 or old_last == new_last:
            old, new = _parent(node, old), _parent(node, new)
            while not old_last & 1 and old_last:
                old_last, new_last = old_last >> 1, new_last >> 1
        else:
            new = _parent(new, node)
        old_last, new_last = old_last >> 1, new_last >> 1
    return (old, new) if new_last == 0 else None


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise IntegrityFailure("merkle.malformed_proof", what)
