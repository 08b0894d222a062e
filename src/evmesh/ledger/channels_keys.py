"""The cryptography of channels: which key follows from which, and the five primitives that use them.

    root of an epoch ─┬─ place    where its frames are
                      ├─ wraps    where the next epoch's root key will be handed out
                      ├─ head     encrypts frames and signatures
                      └─ chain 0 ── chain 1 ── chain 2 …    a hash ratchet, one step a frame
                             └ key 0     └ key 1              each encrypts one body

Every arrow is HMAC-SHA-256 with a label of its own. None can be walked back: chain n gives every later
body and no earlier one. Roots: of a public channel they follow from its id; of a private one each from
the one before; of a restricted one they are random, so only a wrap leads on.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey, VerifyKey

from evmesh.domain.channel import PLACE_SIZE, Channel, Mode
from evmesh.domain.channel_frame import SIGNATURE_SIZE
from evmesh.domain.errors import IntegrityFailure, InvalidInput

_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def derive(key: bytes, label: str) -> bytes:
    """Give HMAC-SHA-256(key, "evmesh.channel/1 " ‖ label)."""
    return hmac.new(key, b"evmesh.channel/1 " + label.encode(), hashlib.sha256).digest()


def key_hash(root: bytes) -> bytes:
    """Give what frames say of the next epoch's root key: SHA-256("evmesh.epoch-key/1" ‖ root)."""
    return hashlib.sha256(b"evmesh.epoch-key/1" + root).digest()


def public_root(channel: Channel, epoch: int) -> bytes:
    """Give the root key of a public channel's epoch, which everybody can compute."""
    return derive(channel.id, f"public {epoch}")


def following_root(channel: Channel, epoch: int, root: bytes) -> bytes | None:
    """Give the root key after that of `epoch`; None where it does not follow (restricted)."""
    match channel.mode:
        case Mode.PUBLIC:
            return public_root(channel, epoch + 1)
        case Mode.PRIVATE:
            return derive(root, "next")
        case Mode.RESTRICTED:
            return None


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """What follows from a root key, at the epoch's first frame."""

    place: bytes
    wraps: bytes
    head: bytes
    chain: bytes

    @classmethod
    def of(cls, root: bytes) -> "EpochKeys":
        """Derive all four."""
        return cls(
            derive(root, "place")[:PLACE_SIZE],
            derive(root, "wraps")[:PLACE_SIZE],
            derive(root, "head"),
            derive(root, "chain"),
        )


def body_key(chain: bytes) -> bytes:
    """Give the key of the body at this step of the ratchet."""
    return derive(chain, "body")


def next_chain(chain: bytes) -> bytes:
    """Take one step of the ratchet; forget what went in."""
    return derive(chain, "step")


def seal(key: bytes, nonce: bytes, text: bytes, associated: bytes) -> bytes:
    """Encrypt with XChaCha20-Poly1305."""
    return crypto_aead_xchacha20poly1305_ietf_encrypt(text, associated, nonce, key)


def unseal(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Decrypt; raises IntegrityFailure `channel.unreadable` for a wrong key or a changed byte."""
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key)
    except CryptoError as error:
        raise IntegrityFailure(
            "channel.unreadable", "the message was changed, or was encrypted with another key"
        ) from error


class WriterKey:
    """An Ed25519 key that writes; its repr shows the public half only."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)

    @property
    def public(self) -> bytes:
        return bytes(self._key.verify_key)

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte signature."""
        return bytes(self._key.sign(digest).signature)

    def __repr__(self) -> str:
        return f"WriterKey({self.public.hex()})"


def require_signature(writer: bytes, digest: bytes, signature: bytes) -> None:
    """Raise IntegrityFailure `channel.forged` where the writer did not sign this."""
    try:
        if len(signature) == SIGNATURE_SIZE:
            VerifyKey(writer).verify(digest, signature)
            return
    except (BadSignatureError, CryptoError, ValueError):
        pass
    raise IntegrityFailure("channel.forged", "the channel's writer did not sign this")


class ReaderKey:
    """An X25519 key that grants and root keys are wrapped for; its repr shows the public half only."""

    def __init__(self, secret: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(secret)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes | None:
        """Give what was wrapped; None where it was not for this key and this purpose."""
        try:
            return _HPKE.decrypt(wrapped, self._key, info)
        except (InvalidTag, ValueError):
            return None

    def __repr__(self) -> str:
        return f"ReaderKey({self.public.hex()})"


def wrap(secret: bytes, reader: bytes, info: bytes) -> bytes:
    """Encrypt for a reader's X25519 key by HPKE: RFC 9180, base mode, HKDF-SHA256, ChaCha20-Poly1305.

    Raises InvalidInput `channel.bad_reader` for bytes that are no usable key.
    """
    try:
        return _HPKE.encrypt(secret, X25519PublicKey.from_public_bytes(reader), info)
    except ValueError as error:
        raise InvalidInput("channel.bad_reader", "these bytes are no X25519 public key") from error
