"""Names of things, parsed once into small frozen classes.

`EvseId` follows eMI3 / ISO 15118 (starred, upper case), `StationId` is the OCPP charge point
identity, `SessionId` is a UUIDv7 of ours, `Address` an EVM account.
"""

import re
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput

_EVSE_ID = re.compile(r"[A-Z]{2}\*[A-Z0-9]{3}\*E[A-Z0-9*]{1,30}")
_STATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=|@-]{0,47}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_SESSION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, order=True)
class EvseId:
    """One place to plug in, e.g. `DE*ABC*E123*1`."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> "EvseId":
        """Raises InvalidInput when `raw` is not in the starred form."""
        text = raw.strip().upper()
        if not raw.isascii() or not _EVSE_ID.fullmatch(text):  # some letters become ours in upper case
            raise InvalidInput(
                "evse.malformed_id", f"not an EVSE id: {raw[:60]!r}", do="write e.g. DE*ABC*E123*1"
            )
        return cls(text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class StationId:
    """An OCPP charge point identity: the last part of the URL a station connects to."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> "StationId":
        """Raises InvalidInput when `raw` could not stand in a URL path and a topic."""
        if not _STATION_ID.fullmatch(raw):
            raise InvalidInput(
                "station.malformed_id",
                f"not a charge point identity: {raw[:60]!r}",
                do="use 1 to 48 letters, digits and - _ . = | @",
            )
        return cls(raw)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class ConnectorRef:
    """One connector of a station as OCPP 1.6 counts them: from 1."""

    station: StationId
    connector: int

    def __str__(self) -> str:
        return f"{self.station}/{self.connector}"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An EVM account, lower-case hexadecimal."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> "Address":
        """Read any letter case; raises InvalidInput on anything else. EIP-55 case is not checked."""
        text = raw.strip().lower()
        if not _ADDRESS.fullmatch(text):
            raise InvalidInput(
                "address.malformed", f"not an account: {raw[:60]!r}", do="write 0x and 40 hexadecimal digits"
            )
        return cls(text)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Address":
        """Read the 20 bytes that contracts and recovered signatures give."""
        return cls.parse("0x" + raw.hex())

    def to_bytes(self) -> bytes:
        """Give the 20 bytes."""
        return bytes.fromhex(self.text[2:])

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class SessionId:
    """One charge, from reservation to settlement: a UUIDv7, so it sorts by time of making."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> "SessionId":
        """Raises InvalidInput when `raw` is not a lower-case UUIDv7."""
        if not _SESSION_ID.fullmatch(raw):
            raise InvalidInput("session.malformed_id", f"not a session id: {raw[:60]!r}")
        return cls(raw)

    @classmethod
    def make(cls, unix_ms: int, random: bytes) -> "SessionId":
        """Build RFC 9562 version 7 from a time and 10 random bytes."""
        tail = int.from_bytes(random[:10], "big")
        value = (unix_ms & (2**48 - 1)) << 80 | 0x7 << 76 | ((tail >> 62) & 0xFFF) << 64
        value |= 0b10 << 62 | (tail & (2**62 - 1))
        digits = f"{value:032x}"
        return cls("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))

    def to_bytes32(self) -> bytes:
        """Give the form that contracts and signed types carry: the UUID's 16 bytes, then zeros."""
        return bytes.fromhex(self.text.replace("-", "")) + bytes(16)

    def __str__(self) -> str:
        return self.text
