"""Keccak and secp256k1 as Ethereum uses them. Implements the ports Signatures and Signer."""

from typing import Final

from coincurve import PrivateKey, PublicKey
from sha3 import keccak_256

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1. Of the two s that fit a signature only the lower is accepted, as on chain."""

_HALF_ORDER: Final = ORDER // 2
_PARITY_BIT: Final = 1 << 255


def keccak256(data: bytes) -> bytes:
    """Give Ethereum's Keccak-256, which is not SHA3-256."""
    digest: bytes = keccak_256(data).digest()
    return digest


def address_of(public_key: PublicKey) -> Address:
    """Give the account of a public key."""
    return Address.from_bytes(keccak256(public_key.format(compressed=False)[1:])[12:])


class EthereumSignatures:
    """Checks signatures; has no state and no key."""

    def keccak256(self, data: bytes) -> bytes:
        """Give the 32-byte Keccak-256."""
        return keccak256(data)

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """Give the signer of a 64-byte (EIP-2098) or 65-byte (r, s, v) signature.

        Raises IntegrityFailure `signature.malformed` where nobody can have made it.
        """
        signature = compacted(signature)
        r, s, parity = split_signature(signature)
        if len(digest) != 32 or not 0 < r < ORDER or not 0 < s <= _HALF_ORDER:
            raise malformed()
        recoverable = signature[:32] + s.to_bytes(32, "big") + (b"\1" if parity else b"\0")
        try:
            return address_of(PublicKey.from_signature_and_message(recoverable, digest, hasher=None))
        except ValueError as error:
            raise malformed() from error


class KeySigner:
    """One private key. Its repr shows the account and never the key."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        self._address = address_of(self._key.public_key)

    @property
    def address(self) -> Address:
        return self._address

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature of a 32-byte digest; deterministic (RFC 6979), low s."""
        raw = self._key.sign_recoverable(digest, hasher=None)
        s = int.from_bytes(raw[32:64], "big") | raw[64] * _PARITY_BIT
        return raw[:32] + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"KeySigner({self._address})"


def split_signature(compact: bytes) -> tuple[int, int, int]:
    """Give r, s and the parity of y from 64 bytes."""
    if len(compact) != 64:
        raise malformed()
    vs = int.from_bytes(compact[32:], "big")
    return int.from_bytes(compact[:32], "big"), vs & ~_PARITY_BIT, vs >> 255


def compact_words(compact: bytes) -> tuple[int, int]:
    """Give the two words that our contracts take: r, and s with the parity in its top bit."""
    if len(compact) != 64:
        raise malformed()
    return int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")


def compacted(signature: bytes) -> bytes:
    """Give the 64-byte form of a signature of 64 bytes, or of 65 whose v is 0, 1, 27 or 28."""
    if len(signature) == 64:
        return signature
    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28) or signature[32] & 0x80:
        raise malformed()
    parity = signature[64] % 27
    return signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]


def malformed() -> IntegrityFailure:
    """Say that these bytes are nobody's signature."""
    return IntegrityFailure("signature.malformed", "this is not a signature that anybody can have made")
