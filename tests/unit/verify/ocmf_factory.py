"""OCMF records as a signing meter writes them, with keys made here, and ways to change anything."""

import json
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DEFAULT = "ECDSA-secp256r1-SHA256"
METER = ec.derive_private_key(7**80, ec.SECP256R1())
THIEF = ec.derive_private_key(11**60, ec.SECP256R1())


def der_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def reading(reason: str | None, value: str, minute: int, **changes: Any) -> dict[str, Any]:
    whole = {
        "TM": f"2026-03-01T09:{minute:02}:00,000+0100 S",
        "TX": reason,
        "RV": value,
        "RI": "01-00:B2.08.00*FF",
        "RU": "kWh",
        "RT": "AC",
        "EF": "",
        "ST": "G",
        **changes,
    }
    return {key: one for key, one in whole.items() if one is not None}


def payload_of(readings: Sequence[dict[str, Any]], **changes: Any) -> bytes:
    """Write a payload; a reading's `RV` and `CL` are texts and come out as the numbers they spell."""
    whole = {
        "FV": "1.2",
        "GI": "Gateway",
        "GS": "G-1",
        "PG": "T41",
        "MV": "Maker",
        "MM": "Meter",
        "MS": "M-1",
        "IS": True,
        "IL": "TRUSTED",
        "IF": ["OCPP_RS_TLS"],
        "IT": "CENTRAL",
        "ID": "driver-1",
        "CT": "EVSEID",
        "CI": "DE*ABC*E17*1",
        **changes,
    }
    head = json.dumps({key: one for key, one in whole.items() if one is not None})
    return f'{head[:-1]}, "RD": [{", ".join(_reading_json(one) for one in readings)}]}}'.encode()


def _reading_json(fields: dict[str, Any]) -> str:
    written = {key: value if key in ("RV", "CL") else json.dumps(value) for key, value in fields.items()}
    return "{" + ", ".join(f'"{key}": {value}' for key, value in written.items()) + "}"


def signed(
    payload: bytes,
    key: ec.EllipticCurvePrivateKey = METER,
    algorithm: str | None = None,
    hash_algorithm: hashes.HashAlgorithm | None = None,
    **section: str,
) -> bytes:
    data = key.sign(payload, ec.ECDSA(hash_algorithm or hashes.SHA256())).hex().upper()
    named = {} if algorithm is None else {"SA": algorithm}
    return b"OCMF|" + payload + b"|" + json.dumps({**named, "SD": data, **section}).encode()


CHARGE = (reading("B", "2935.6", 0), reading("E", "2965.123456", 45))


def record(*readings: dict[str, Any], **changes: Any) -> bytes:
    return signed(payload_of(readings or CHARGE, **changes))
