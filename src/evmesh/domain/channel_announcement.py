"""What a station's operator says of it under the station's code, for whoever has the code and a node."""

import hashlib
from dataclasses import dataclass
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import KEY_SIZE, Channel
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.errors import InvalidInput
from evmesh.domain.station_code import CODE_SPACE, code_of, counter_of

ANNOUNCEMENT: Final = "evmesh.announcement/1"
MAX_ANNOUNCEMENT_BYTES: Final = 1_024
_MAX_URL: Final = 200
_MAX_NOTE: Final = 280


def station_tag(code: str) -> bytes:
    """Give the tag of a station code, typed in any way: SHA-256("evmesh.station/1 " ‖ code)."""
    return hashlib.sha256(b"evmesh.station/1 " + code_of(counter_of(code)).encode()).digest()


@dataclass(frozen=True, slots=True)
class Announcement:
    """It needs no signature of its own: the chain tells which account posted it."""

    asset: int
    """The registry's counter; the station code follows from it."""
    api: str
    """Where the operator's API is; empty for the base URL in the registry."""
    inbox: bytes | None
    """The X25519 key of the operator, to which a driver seals what it asks for."""
    status: Channel | None
    """The channel of the station's status; with mode and writer, so that nobody else can speak there."""
    note: str
    """For people."""

    def encode(self) -> bytes:
        """Give its canonical CBOR; raises InvalidInput `announcement.too_long`."""
        raw = canonical_cbor(
            {
                "format": ANNOUNCEMENT,
                "asset": self.asset,
                "api": self.api,
                "inbox": self.inbox,
                "status": None
                if self.status is None
                else {"mode": self.status.mode.value, "writer": self.status.writer, "name": self.status.name},
                "note": self.note,
            }
        )
        if len(raw) > MAX_ANNOUNCEMENT_BYTES or len(self.api) > _MAX_URL or len(self.note) > _MAX_NOTE:
            raise InvalidInput("announcement.too_long", "the announcement is too long", do="shorten its note")
        return raw

    @classmethod
    def parse(cls, raw: bytes) -> "Announcement":
        """Read what `encode` gave; raises InvalidInput."""
        if len(raw) > MAX_ANNOUNCEMENT_BYTES:
            raise InvalidInput("announcement.too_long", "the announcement is too long")
        fields = CborFields(raw)
        if fields.text("format", 40) != ANNOUNCEMENT:
            raise InvalidInput(
                "announcement.other_format", "the announcement has another format", path="format"
            )
        asset = fields.whole("asset", CODE_SPACE - 1)
        api, inbox = fields.text("api", _MAX_URL), fields.octets_or_none("inbox", KEY_SIZE)
        status = fields.map_or_none("status")
        note = fields.text("note", _MAX_NOTE)
        fields.done()
        return cls(asset, api, inbox, None if status is None else Channel.parse(canonical_cbor(status)), note)
