"""Keys and signature primitives straight from coincurve and pycryptodome, sharing no code with src."""

from hashlib import sha256

from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def address_of(key: PublicKey) -> Address:
    return Address.from_bytes(keccak256(key.format(compressed=False)[1:])[12:])


class Key:
    """One private key, made from a role's name."""

    def __init__(self, role: str) -> None:
        self._key = PrivateKey(sha256(role.encode()).digest())
        self.address = address_of(self._key.public_key)

    def sign(self, digest: bytes) -> bytes:
        full = self._key.sign_recoverable(digest, hasher=None)
        r, s, parity = full[:32], int.from_bytes(full[32:64], "big"), full[64]
        return r + (s | parity << 255).to_bytes(32, "big")


class CurveSignatures:
    """The `Signatures` port."""

    def keccak256(self, data: bytes) -> bytes:
        return keccak256(data)

    def recover(self, digest: bytes, signature: bytes) -> Address:
        if len(signature) != 64:
            raise IntegrityFailure("signature.malformed", "wrong length")
        packed = int.from_bytes(signature[32:], "big")
        s, parity = packed & (1 << 255) - 1, packed >> 255
        if not 0 < s <= ORDER // 2:
            raise IntegrityFailure("signature.malformed", "high or zero s")
        full = signature[:32] + s.to_bytes(32, "big") + bytes([parity])
        try:
            return address_of(PublicKey.from_signature_and_message(full, digest, hasher=None))
        except Exception as error:
            raise IntegrityFailure("signature.malformed", "recovers to nothing") from error
