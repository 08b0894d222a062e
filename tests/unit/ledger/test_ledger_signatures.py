"""Signatures agree with eth-account's, and only the one proper form is taken."""

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import IntegrityFailure
from evmesh.ledger.signatures import ORDER, EthereumSignatures, KeySigner, compacted, keccak256
from evmesh.ports import Signatures, Signer

SECRET = keccak(b"an operator")
DIGEST = keccak(b"a voucher")
SIGNATURES: Signatures = EthereumSignatures()

secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@given(secrets, digests)
def test_what_is_signed_is_recovered(secret: bytes, digest: bytes) -> None:
    signer: Signer = KeySigner(secret)
    assert SIGNATURES.recover(digest, signer.sign(digest)) == signer.address
    assert int.from_bytes(signer.sign(digest)[32:], "big") % 2**255 <= ORDER // 2


@given(secrets, digests)
def test_it_agrees_with_eth_account(secret: bytes, digest: bytes) -> None:
    theirs = Account.unsafe_sign_hash(digest, secret)
    ours = KeySigner(secret)
    assert ours.address.text == Account.from_key(secret).address.lower()
    assert compacted(bytes(theirs.signature)) == ours.sign(digest)
    assert SIGNATURES.recover(digest, bytes(theirs.signature)) == ours.address


def test_keccak_is_not_sha3() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == SIGNATURES.keccak256(b"").hex() == empty


def test_v_may_be_written_either_way() -> None:
    signer = KeySigner(SECRET)
    compact = signer.sign(DIGEST)
    parity = compact[32] >> 7
    low_s = bytes([compact[32] & 0x7F]) + compact[33:]
    for v in (parity, 27 + parity):
        assert SIGNATURES.recover(DIGEST, compact[:32] + low_s + bytes([v])) == signer.address


def _high_s() -> bytes:
    compact = KeySigner(SECRET).sign(DIGEST)
    s, parity = int.from_bytes(compact[32:], "big") % 2**255, compact[32] >> 7
    return compact[:32] + (ORDER - s).to_bytes(32, "big") + bytes([28 - parity])


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(63),
        bytes(64),
        bytes(65),
        bytes(66),
        KeySigner(SECRET).sign(DIGEST) + b"\x1d",
        KeySigner(SECRET).sign(DIGEST)[:32] + bytes(32),
        bytes(32) + KeySigner(SECRET).sign(DIGEST)[32:],
        ORDER.to_bytes(32, "big") + KeySigner(SECRET).sign(DIGEST)[32:],
        b"\x05".rjust(32, b"\0") + (1).to_bytes(32, "big"),  # r is no point of the curve
        KeySigner(SECRET).sign(DIGEST)[:32] + (ORDER // 2 + 1).to_bytes(32, "big"),
        _high_s(),
        KeySigner(SECRET).sign(DIGEST)[:32] + b"\x01".rjust(32, b"\0") + b"\x1d",
    ],
)
def test_what_nobody_can_have_made_is_malformed(signature: bytes) -> None:
    with pytest.raises(IntegrityFailure, match=r"signature\.malformed"):
        SIGNATURES.recover(DIGEST, signature)


def test_a_digest_is_32_bytes() -> None:
    with pytest.raises(IntegrityFailure, match=r"signature\.malformed"):
        SIGNATURES.recover(DIGEST[:31], KeySigner(SECRET).sign(DIGEST))


def test_a_signer_never_shows_its_key() -> None:
    assert SECRET.hex() not in repr(KeySigner(SECRET))
