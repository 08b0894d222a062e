"""Which keys an identity uses on channels: each follows from one secret, and does not give it away."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from evmesh.domain.signed_types import ChannelKey
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.channels_keys import ReaderKey, WriterKey
from evmesh.ledger.signatures import keccak256
from evmesh.ports import Signer

_WRITER: Final = b"evmesh channel writer 1"
_READER: Final = b"evmesh channel reader 1"


@dataclass(frozen=True, slots=True)
class ChannelIdentity:
    """The Ed25519 key that one writes with, and the X25519 key that others grant access to."""

    writer: WriterKey
    reader: ReaderKey

    @classmethod
    def of(cls, secret: bytes) -> "ChannelIdentity":
        """Derive both from 32 secret bytes: HMAC-SHA-256(secret, label)."""
        return cls(WriterKey(_derived(secret, _WRITER)), ReaderKey(_derived(secret, _READER)))

    @classmethod
    def of_wallet(cls, wallet: Signer, domain: Domain) -> "ChannelIdentity":
        """Derive both from a wallet's signature, so that its seed brings them back.

        The secret is SHA-256 of the 64-byte signature of `ChannelKey` under this operator's domain: at
        another operator the same wallet has other keys. The wallet has to sign deterministically (RFC 6979).
        """
        signature = wallet.sign(digest(domain, ChannelKey(wallet.address), keccak256))
        return cls.of(hashlib.sha256(signature).digest())


def _derived(secret: bytes, label: bytes) -> bytes:
    return hmac.new(secret, label, hashlib.sha256).digest()
