"""Proofs of any tree hold, and nothing next to them does."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.merkle import MerkleLog
from evmesh.verify.merkle import verify_consistency, verify_inclusion

LEAVES = [sha256(number.to_bytes(4, "big")).digest() for number in range(600)]
LOG = MerkleLog(LEAVES)
sizes = st.integers(1, len(LEAVES))


def definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + definition(leaves[:k]) + definition(leaves[k:])).digest()


def spoilt(proof: list[bytes], bit: int) -> list[list[bytes]]:
    """Give every proof with one bit of one element changed, one element missing, or one too many."""
    found = []
    for position, node in enumerate(proof):
        changed = bytearray(node)
        changed[bit // 8] ^= 1 << bit % 8
        found.append([*proof[:position], bytes(changed), *proof[position + 1 :]])
        found.append([*proof[:position], *proof[position + 1 :]])
        found.append([*proof[:position], node, *proof[position:]])
    return [*found, [*proof, bytes(32)]]


@given(sizes)
def test_a_root_is_the_hash_that_the_rfc_defines(size: int) -> None:
    assert LOG.root(size) == definition(LEAVES[:size])
    assert MerkleLog(LEAVES[:size]).root() == LOG.root(size)


@given(sizes, st.integers(0, 255), st.data())
def test_every_leaf_is_proven_and_no_spoilt_proof_is_taken(size: int, bit: int, data: st.DataObject) -> None:
    root = LOG.root(size)
    for index in range(size):
        assert verify_inclusion(LEAVES[index], index, size, LOG.inclusion_proof(index, size), root)
    index = data.draw(st.integers(0, size - 1))
    proof = LOG.inclusion_proof(index, size)
    for changed in spoilt(proof, bit):
        assert not verify_inclusion(LEAVES[index], index, size, changed, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index)) if size > 1 else size
    assert not verify_inclusion(LEAVES[index], other, size, proof, root)
    assert not verify_inclusion(LEAVES[(index + 1) % len(LEAVES)], index, size, proof, root)


@given(sizes, sizes, st.integers(0, 255))
def test_a_log_is_proven_to_have_only_grown(one: int, two: int, bit: int) -> None:
    first, second = sorted((one, two))
    roots = LOG.root(first), LOG.root(second)
    proof = LOG.consistency_proof(first, second)
    assert verify_consistency(first, second, *roots, proof)
    for changed in spoilt(proof, bit):
        assert not verify_consistency(first, second, *roots, changed)


@given(st.integers(0, 98), st.integers(1, 99), st.integers(1, 99))
def test_a_rewritten_history_has_no_consistency_proof(changed: int, one: int, two: int) -> None:
    first, second = sorted((one, two))
    forged = MerkleLog([*LEAVES[:changed], bytes(32), *LEAVES[changed + 1 : 99]])
    proof = forged.consistency_proof(first, second)
    honest = changed >= first
    assert verify_consistency(first, second, LOG.root(first), forged.root(second), proof) is honest


@given(st.lists(st.sampled_from(LEAVES), max_size=80))
def test_appending_and_loading_give_the_same_log(leaves: list[bytes]) -> None:
    log = MerkleLog()
    for leaf in leaves:
        log.append(leaf)
    loaded = MerkleLog(leaves)
    for size in range(len(leaves) + 1):
        assert log.root(size) == loaded.root(size)
