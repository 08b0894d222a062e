"""OCMF, the Open Charge Metering Format 1.x of S.A.F.E. e.V.: what a meter says and signs for itself.

`OCMF|payload|signature`; the signature is over the payload's bytes as they stand, so those are kept
and never written anew. Reading is strict and says nothing on whether the signature is true
(`MeterSignatures`) or the readings plausible (`verify/ocmf.py`).
"""

import re
from dataclasses import dataclass
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ocmf_json import Numeral, OcmfFields, read_section
from evmesh.domain.ocmf_reading import OcmfReading, read_readings
from evmesh.domain.ocmf_signature import OcmfSignature
from evmesh.domain.ocmf_words import ChargePointIdType, ResistanceUnit, UserFlag, UserIdType, UserLevel

MAX_OCMF_BYTES: Final = 1 << 20
MOST_USER_FLAGS: Final = 4

_EXTENSIONS: Final = "UVWXYZ"
_VERSION: Final = re.compile(r"1\.[0-9]{1,2}")
_PAGINATION: Final = re.compile(r"([TF])(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Device:
    """Who made it and which one it is: the gateway that signs, or the meter."""

    vendor: str | None
    model: str | None
    serial: str | None
    firmware: str | None


@dataclass(frozen=True, slots=True)
class User:
    """Who charged, as far as the station knows."""

    assigned: bool
    level: UserLevel | None
    flags: tuple[UserFlag, ...]
    id_type: UserIdType
    id: str | None
    tariff: str | None


@dataclass(frozen=True, slots=True)
class CableLoss:
    """What the meter takes off for the cable's resistance; numbers as they were written."""

    name: str | None
    id: Numeral | None
    resistance: Numeral
    unit: ResistanceUnit


@dataclass(frozen=True, slots=True)
class OcmfRecord:
    """One signed record. `page` counts the signer's records of its context, T (charge) or F (fiscal)."""

    payload: bytes
    signature: OcmfSignature
    version: str | None
    gateway: Device
    meter: Device
    context: str
    page: int
    user: User | None
    controller: str | None
    cable_loss: CableLoss | None
    charge_point: tuple[ChargePointIdType | None, str | None]
    readings: tuple[OcmfReading, ...]

    @property
    def pagination(self) -> str:
        """The page as the record writes it."""
        return f"{self.context}{self.page}"

    @classmethod
    def parse(cls, raw: bytes) -> "OcmfRecord":
        """Read a record; raises InvalidInput with the path of what is wrong."""
        payload, signature = _sections(raw)
        members = OcmfFields(read_section(payload, "payload"))
        members.drop_extensions(_EXTENSIONS)
        context, page = _pagination(members)
        record = cls(
            payload=payload,
            signature=OcmfSignature.parse(signature),
            version=_version(members),
            gateway=Device(None, *(members.optional_text(key) for key in ("GI", "GS", "GV"))),
            meter=Device(*(members.optional_text(key) for key in ("MV", "MM", "MS", "MF"))),
            context=context,
            page=page,
            user=_user(members) if context == "T" or members.has("IS") else None,
            controller=_controller(members),
            cable_loss=_cable_loss(OcmfFields(members.mapping("LC"), "LC")) if members.has("LC") else None,
            charge_point=(members.optional_word("CT", ChargePointIdType), members.optional_text("CI")),
            readings=read_readings(members),
        )
        members.done()
        if not record.gateway.serial and not record.meter.serial:
            raise InvalidInput("ocmf.no_serial", "neither gateway nor meter has a serial number", path="MS")
        return record


def _sections(raw: bytes) -> tuple[bytes, bytes]:
    if len(raw) > MAX_OCMF_BYTES:
        raise InvalidInput("ocmf.too_large", f"{len(raw)} bytes are no OCMF record")
    parts = raw.split(b"|")
    if parts[0] != b"OCMF":
        raise InvalidInput("ocmf.no_header", "an OCMF record begins with OCMF|")
    if len(parts) == 4:
        raise InvalidInput(
            "ocmf.embedded_key",
            "a key in the record itself proves nothing",
            do="remove the fourth section, and give the key that the meter's owner or a register publishes",
        )
    if len(parts) != 3:
        raise InvalidInput("ocmf.bad_sections", "a record is OCMF|payload|signature, with no other |")
    return parts[1], parts[2]


def _version(members: OcmfFields) -> str | None:
    version = members.optional_text("FV", 16)
    if version is not None and not _VERSION.fullmatch(version):
        raise InvalidInput("ocmf.other_version", f"format version {version!r} is not 1.x", path="FV")
    return version


def _pagination(members: OcmfFields) -> tuple[str, int]:
    text = members.bounded_text("PG")
    found = _PAGINATION.fullmatch(text)
    if found is None:
        what = f"{text!r} is not T or F with a number"
        raise InvalidInput("ocmf.bad_pagination", what, path=members.path("PG"))
    return found[1], int(found[2])


def _user(members: OcmfFields) -> User:
    flags = members.items("IF") if members.has("IF") else []
    if len(flags) > MOST_USER_FLAGS:
        raise InvalidInput("document.bad_value", f"at most {MOST_USER_FLAGS} flags", path="IF")
    return User(
        assigned=members.boolean("IS"),
        level=members.optional_word("IL", UserLevel),
        flags=tuple(
            OcmfFields({f"IF[{number}]": flag}).word(f"IF[{number}]", UserFlag)
            for number, flag in enumerate(flags)
        ),
        id_type=members.word("IT", UserIdType),
        id=members.optional_text("ID"),
        tariff=members.optional_text("TT"),
    )


def _controller(members: OcmfFields) -> str | None:
    """Give the firmware of the charge controller: `CF`, which a draft called `CCV`."""
    draft = members.optional_text("CCV", 25)
    return members.optional_text("CF", 25) or draft


def _cable_loss(members: OcmfFields) -> CableLoss:
    loss = CableLoss(
        name=members.optional_text("LN", 20),
        id=members.numeral("LI") if members.has("LI") else None,
        resistance=members.numeral("LR"),
        unit=members.word("LU", ResistanceUnit),
    )
    members.done()
    return loss
