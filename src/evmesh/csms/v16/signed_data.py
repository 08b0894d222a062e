"""Meter values with `format` SignedData (OCPP 1.6 section 7.43): what the meter has signed itself.

The standard says that the value is then a binary block in hexadecimal. Three forms are met: that; the OCMF
record as it stands; and, as JSON text in `value`, the SignedMeterValue object of OCPP 2,
`{"signedMeterData": base64 of the record, "encodingMethod", "signingMethod", "publicKey"}`. The key that
comes with it is passed over: a record that brings its own key proves nothing.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from evmesh.csms.v16.messages import SampledValue

LONGEST: Final = 16_384
MOST: Final = 16
_HEADER: Final = "OCMF|"
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def read_signed(values: Iterable[SampledValue]) -> tuple[bytes, ...]:
    """Give the OCMF records among these values, each once, byte for byte; the rest is left out."""
    found: dict[bytes, None] = {}
    for value in values:
        if value.format == "SignedData" and len(value.value) <= LONGEST:
            record = _record(value.value)
            if record is not None and len(found) < MOST:
                found[record] = None
    return tuple(found)


def _record(text: str) -> bytes | None:
    text = text.strip()
    if text.startswith("{"):
        text = _wrapped(text).strip()
    elif _HEX.fullmatch(text):
        text = bytes.fromhex(text).decode(errors="replace").strip()
    if not text.startswith(_HEADER) or not text.isprintable():
        return None
    return text.encode()


def _wrapped(text: str) -> str:
    """Give the record out of the note's object; empty where there is none."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    data = document.get("signedMeterData") if isinstance(document, dict) else None
    if not isinstance(data, str):
        return ""
    if data.startswith(_HEADER):
        return data
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
