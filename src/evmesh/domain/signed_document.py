"""What all signed documents share: one canonical encoding, and one signature over all of it."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import ClassVar, Self

from evmesh.domain.canonical import Json, canonical_json
from evmesh.domain.signed_types import Document
from evmesh.domain.strict import write_bytes

SIGNATURE_BYTES = 64
"""EIP-2098: r, then s with the parity of y in its top bit."""


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """Base of documents: frozen dataclasses that end in `signature`, empty until they are signed."""

    FORMAT: ClassVar[str]

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        raise NotImplementedError  # not an abc.ABC: its `register` would become the default of a field

    def to_sign(self) -> Document:
        """Give the typed value that the signature is over."""
        return Document(self.FORMAT, sha256(canonical_json(self._unsigned())).digest())

    def signed(self, signature: bytes) -> Self:
        """Give the same document with its 64-byte signature."""
        if len(signature) != SIGNATURE_BYTES:
            raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        return replace(self, signature=signature)  # type: ignore[call-arg]

    def encode(self) -> bytes:
        """Give the canonical bytes of the signed document."""
        signature: bytes = self.signature  # type: ignore[attr-defined]
        if len(signature) != SIGNATURE_BYTES:
            raise ValueError("the document is not signed yet")
        return canonical_json(self._unsigned() | {"signature": write_bytes(signature)})

    def _unsigned(self) -> Json:
        return {"format": self.FORMAT, **self.content()}
