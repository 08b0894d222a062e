"""A meter that signs what it counts, as calibrated ones do: OCMF 1.x over ECDSA.

Written from the specification, sharing no code with what reads it. The private key follows from the meter's
serial number, so that a site file can name the public key before the meter has ever run: good for a
simulation, and for nothing else.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evmesh.domain.units import Wh

_ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class SigningMeter:
    """One meter by its serial number. `lies` makes it sign with a key that is not its own."""

    serial: str
    lies: bool = False

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        role = b"evmesh simulated meter: " + self.serial.encode()
        return _private_key(b"another " + role if self.lies else role)

    @property
    def public_key(self) -> str:
        """The key as its owner publishes it: a SubjectPublicKeyInfo in hexadecimal."""
        own = _private_key(b"evmesh simulated meter: " + self.serial.encode())
        return own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()

    def charge(self, page: int, begin: tuple[datetime, Wh], end: tuple[datetime, Wh], user: str = "") -> str:
        """Sign one whole charge as the page of its number: its first reading and its last."""
        readings = [self._reading("B", *begin), self._reading("E", *end)]
        payload = {
            "FV": "1.2",
            "GI": "evmesh sim",
            "GS": self.serial,
            "GV": "1.0",
            "PG": f"T{page}",
            "MV": "evmesh",
            "MM": "simulated",
            "MS": self.serial,
            "MF": "1.0",
            "IS": bool(user),
            "IL": "HEARSAY" if user else "NONE",
            "IF": [],
            "IT": "CENTRAL" if user else "NONE",
            "ID": user,
            "RD": readings,
        }
        return self._signed(json.dumps(payload, separators=(",", ":")))

    def _reading(self, reason: str, at: datetime, register: Wh) -> dict[str, Any]:
        """Write a register in whole Wh, at a time that is synchronised."""
        return {
            "TM": f"{at:%Y-%m-%dT%H:%M:%S},000+0000 S",
            "TX": reason,
            "RV": register,
            "RI": "01-00:01.08.00.FF",
            "RU": "Wh",
            "RT": "AC",
            "EF": "",
            "ST": "G",
        }

    def _signed(self, payload: str) -> str:
        signature = self._key.sign(payload.encode(), ec.ECDSA(hashes.SHA256()))
        section = {"SA": "ECDSA-secp256r1-SHA256", "SD": signature.hex().upper()}
        return f"OCMF|{payload}|{json.dumps(section, separators=(',', ':'))}"


def _private_key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(sha256(seed).digest(), "big") % (_ORDER_OF_P256 - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())
