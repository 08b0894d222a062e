"""The reference vectors of Certificate Transparency, whose trees RFC 9162 took over from RFC 6962."""

from hashlib import sha256

import pytest

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.merkle import EMPTY_ROOT, MerkleLog, leaf_hash
from evmesh.verify.merkle import root_from_inclusion_proof, verify_consistency, verify_inclusion

LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
LOG = MerkleLog(leaf_hash(data) for data in LEAVES)


def test_roots_are_those_of_the_reference_vectors() -> None:
    log = MerkleLog()
    assert log.root() == EMPTY_ROOT == ROOTS[0]
    for index, data in enumerate(LEAVES):
        assert log.append(leaf_hash(data)) == index
        assert log.root() == ROOTS[index + 1]
    assert [log.root(size) for size in range(9)] == ROOTS


def test_a_log_loaded_from_leaf_hashes_goes_on_as_one_that_was_appended_to() -> None:
    for size in range(len(LEAVES)):
        log = MerkleLog(leaf_hash(data) for data in LEAVES[:size])
        for data in LEAVES[size:]:
            log.append(leaf_hash(data))
        assert [log.root(size) for size in range(9)] == ROOTS


def test_proofs_are_those_of_the_rfcs_own_example() -> None:
    """RFC 9162 section 2.1.5: seven leaves, hash = root; k, l = its children, and so on down."""
    a, b, c, d, e, f, j = (leaf_hash(data) for data in LEAVES[:7])
    log = MerkleLog([a, b, c, d, e, f, j])

    def node(left: bytes, right: bytes) -> bytes:
        return sha256(b"\x01" + left + right).digest()

    g, h, i = node(a, b), node(c, d), node(e, f)
    k = node(g, h)
    r_l = node(i, j)
    assert log.root() == node(k, r_l)
    assert log.inclusion_proof(0) == [b, h, r_l]
    assert log.inclusion_proof(3) == [c, g, r_l]
    assert log.inclusion_proof(4) == [f, j, k]
    assert log.inclusion_proof(6) == [i, k]
    assert log.consistency_proof(3) == [c, d, g, r_l]
    assert log.consistency_proof(4) == [r_l]
    assert log.consistency_proof(6) == [i, j, k]


def test_every_leaf_of_every_reference_tree_is_proven() -> None:
    for size in range(1, 9):
        for index in range(size):
            proof = LOG.inclusion_proof(index, size)
            assert verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, ROOTS[size])
            assert not verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, ROOTS[size - 1])


def test_equal_sizes_and_the_empty_log_need_no_proof() -> None:
    assert LOG.consistency_proof(8) == LOG.consistency_proof(0) == []
    assert verify_consistency(8, 8, ROOTS[8], ROOTS[8], [])
    assert verify_consistency(0, 8, EMPTY_ROOT, ROOTS[8], [])
    assert not verify_consistency(8, 8, ROOTS[7], ROOTS[8], [])
    assert not verify_consistency(8, 8, ROOTS[8], ROOTS[8], [ROOTS[1]])
    assert not verify_consistency(0, 8, ROOTS[1], ROOTS[8], [])
    assert not verify_consistency(0, 8, EMPTY_ROOT, ROOTS[8], [ROOTS[1]])


def test_a_log_does_not_answer_for_leaves_it_does_not_hold() -> None:
    for ask in (
        lambda: LOG.root(9),
        lambda: LOG.root(-1),
        lambda: LOG.inclusion_proof(8),
        lambda: LOG.inclusion_proof(-1),
        lambda: LOG.inclusion_proof(5, 5),
        lambda: LOG.inclusion_proof(0, 9),
        lambda: LOG.consistency_proof(5, 4),
        lambda: LOG.consistency_proof(5, 9),
    ):
        with pytest.raises(IndexError):
            ask()


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [
        (8, 8, LOG.inclusion_proof(7)),
        (-1, 8, LOG.inclusion_proof(7)),
        (0, 0, []),
        (7, 8, [*LOG.inclusion_proof(7), ROOTS[1]]),
        (7, 8, LOG.inclusion_proof(7)[1:]),
        (7, 8, [ROOTS[1][:31], *LOG.inclusion_proof(7)[1:]]),
    ],
)
def test_a_proof_of_impossible_form_is_malformed(index: int, size: int, proof: list[bytes]) -> None:
    with pytest.raises(IntegrityFailure, match=r"merkle\.malformed_proof"):
        root_from_inclusion_proof(leaf_hash(LEAVES[7]), index, size, proof)
    assert not verify_inclusion(leaf_hash(LEAVES[7]), index, size, proof, ROOTS[8])


def test_a_leaf_is_not_taken_for_a_node() -> None:
    node = leaf_hash(LEAVES[0]) + leaf_hash(LEAVES[1])
    assert leaf_hash(node) != ROOTS[2]


@pytest.mark.parametrize(("first", "second"), [(5, 4), (-1, 4), (3, 8)])
def test_sizes_that_cannot_be_are_inconsistent(first: int, second: int) -> None:
    assert not verify_consistency(first, second, ROOTS[first], ROOTS[second], [])


def test_a_hundred_thousand_leaves_are_no_burden() -> None:
    """Counts hashes rather than seconds: a proof may cost no more than a walk down the tree."""
    log = MerkleLog(leaf_hash(number.to_bytes(4, "big")) for number in range(100_001))
    proof = log.inclusion_proof(99_999)
    assert len(proof) <= 17
    assert verify_inclusion(leaf_hash((99_999).to_bytes(4, "big")), 99_999, log.size, proof, log.root())
    assert verify_consistency(77_777, log.size, log.root(77_777), log.root(), log.consistency_proof(77_777))
