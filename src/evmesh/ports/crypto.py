"""Hashes and signatures, as Protocols."""

from typing import Protocol

from evmesh.domain.ids import Address


class Signatures(Protocol):
    """The hash and signature primitives that checking needs."""

    def keccak256(self, data: bytes) -> bytes:
        """Give the 32-byte Keccak-256 (Ethereum's, not SHA3-256)."""

    def recover(self, digest: bytes, signature: bytes) -> Address:
        """Give the signer of a 64-byte (EIP-2098) or 65-byte (r, s, v) signature.

        Raises IntegrityFailure `signature.malformed` for a zero recovery and a high s too.
        """


class MeterSignatures(Protocol):
    """Checks what meters sign with keys of their own, as OCMF carries it."""

    def check(self, algorithm: str, key: bytes, payload: bytes, signature: bytes) -> None:
        """Return where the owner of `key` signed `payload`.

        `algorithm` is named as OCMF does (`ECDSA-secp256r1-SHA256`); `key` is a DER
        SubjectPublicKeyInfo or a point of that curve (04 ‖ x ‖ y); `signature` is DER. Raises
        IntegrityFailure `ocmf.false_signature` or `ocmf.other_curve`, InvalidInput `ocmf.bad_key`, and
        Refused `ocmf.cannot_check` for an algorithm or a key's curve that cannot be checked here.
        """


class Signer(Protocol):
    """One private key that is used and never shown."""

    @property
    def address(self) -> Address: ...

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature of a 32-byte digest."""
