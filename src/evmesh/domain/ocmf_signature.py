"""The signature section of an OCMF record, and the public key that is needed to check it.

Only the payload is signed: what stands here can be rewritten by anybody, so each value has one
spelling, and an algorithm's name is believed only as far as the key is on its curve.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ocmf_json import OcmfFields, read_section

DEFAULT_ALGORITHM: Final = "ECDSA-secp256r1-SHA256"
MAX_KEY_BYTES: Final = 8_192

_EXTENSIONS: Final = "ABCDEFUVWXYZ"
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+|(?:[0-9a-f]{2})+")
_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----([^-]+)-----END PUBLIC KEY-----")


@dataclass(frozen=True, slots=True)
class OcmfSignature:
    """`algorithm` as the record names it; `data` is the DER encoding of (r, s)."""

    algorithm: str
    data: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "OcmfSignature":
        """Read the section; raises InvalidInput."""
        members = OcmfFields(read_section(raw, "signature section"))
        members.drop_extensions(_EXTENSIONS)
        algorithm = members.optional_text("SA", 64) or DEFAULT_ALGORITHM
        encoding = members.optional_text("SE", 16) or "hex"
        mime = members.optional_text("SM", 64) or "application/x-der"
        if mime != "application/x-der":
            what = f"a signature of type {mime} cannot be read"
            raise InvalidInput("ocmf.bad_signature_type", what, path="SM")
        data = _decoded(members.bounded_text("SD", 4_096), encoding)
        members.done()
        return cls(algorithm, data)


def _decoded(text: str, encoding: str) -> bytes:
    if encoding == "hex":
        if _HEX.fullmatch(text):
            return bytes.fromhex(text)
        raise InvalidInput(
            "ocmf.bad_encoding", "SD is not hexadecimal, all in capitals or all in small letters", path="SD"
        )
    if encoding == "base64":
        data = _from_base64(text)
        if data is not None:
            return data
        raise InvalidInput("ocmf.bad_encoding", "SD is not base64", path="SD")
    raise InvalidInput("ocmf.bad_encoding", f"{encoding!r} is neither hex nor base64", path="SE")


def _from_base64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data and base64.b64encode(data).decode() == text else None


def parse_public_key(raw: bytes) -> bytes:
    """Give a meter's public key from hexadecimal, base64, PEM or the bytes themselves.

    What comes out is a DER SubjectPublicKeyInfo or a point (04 ‖ x ‖ y), unchecked: the port
    `MeterSignatures` refuses what is no key. Raises InvalidInput `ocmf.bad_key`.
    """
    if not 0 < len(raw) <= MAX_KEY_BYTES:
        raise InvalidInput("ocmf.bad_key", f"{len(raw)} bytes are no public key")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return raw
    if pem := _PEM.search(text):
        text = pem[1]
    text = "".join(text.split())
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
        return bytes.fromhex(text)
    if data := _from_base64(text):
        return data
    raise InvalidInput(
        "ocmf.bad_key",
        "this is no public key",
        do="give the meter's public key as hexadecimal, or name a file that has it (hex, base64, PEM, DER)",
    )
