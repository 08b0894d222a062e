"""Check OCMF records: what the meter signed, and whether its readings can be billed.

These are two answers. A signature that is true says that the meter wrote this; only the rest says
that it makes sense: one meter, no page missing, no error, time and register going forward.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.domain.nouns import counted
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_charge import OcmfCharge
from evmesh.domain.ocmf_reading import MilliWh
from evmesh.domain.ocmf_words import LEVEL_ERRORS, MeterState, ReadingReason, TimeStatus
from evmesh.ports import MeterSignatures
from evmesh.verify.report import Check, Finding, NotChecked, Report, Status, failed, require, run

SIGNATURE: Final = "signature"
NO_KEY: Final = NotChecked("no key was given; a meter's public key never comes with its record")
_UNREAD: Final = "a record cannot be read"


@dataclass(frozen=True, slots=True)
class OcmfReport:
    """Both answers, and the energy where the readings are plausible and hold a whole charge."""

    form: tuple[Check, ...]
    signatures: tuple[Check, ...]
    plausibility: tuple[Check, ...]
    energy: MilliWh | None

    @property
    def report(self) -> Report:
        """All checks, in the order in which a reader would make them."""
        return Report(self.form + self.signatures + self.plausibility)

    @property
    def signed(self) -> Status:
        """Whether every record was signed by the owner of the key."""
        return _worst(self.signatures)

    @property
    def plausible(self) -> Status:
        """Whether the readings make sense; `not_checked` where they are not a whole charge."""
        return _worst(self.plausibility)


def verify_ocmf(raws: Sequence[bytes], key: bytes | None, signatures: MeterSignatures) -> OcmfReport:
    """Check the records of one charge, in their order; one record may hold all of it.

    Never raises for what is in the records, but Refused `ocmf.cannot_check` where the signature's
    algorithm is beyond `signatures`, and InvalidInput `ocmf.bad_key`.
    """
    form, records = _read(raws)
    names = [SIGNATURE if len(raws) == 1 else f"{SIGNATURE} {number}" for number in range(1, len(raws) + 1)]
    if records is None:
        signed = tuple(Check(name, Status.NOT_CHECKED, _UNREAD) for name in names)
        rest = tuple(Check(name, Status.NOT_CHECKED, _UNREAD) for name, _ in PLAUSIBILITY)
        return OcmfReport(form, signed, rest, None)
    signed = tuple(
        _signature(name, record, key, signatures) for name, record in zip(names, records, strict=True)
    )
    charge = OcmfCharge.of(records)
    plausibility = tuple(run(name, partial(check, charge)) for name, check in PLAUSIBILITY)
    energy = charge.energy if _worst(plausibility) is Status.OK else None
    return OcmfReport(form, signed, plausibility, energy)


def _read(raws: Sequence[bytes]) -> tuple[tuple[Check, ...], tuple[OcmfRecord, ...] | None]:
    checks, records = [], []
    for number, raw in enumerate(raws, 1):
        name = "form" if len(raws) == 1 else f"form {number}"
        try:
            record = OcmfRecord.parse(raw)
        except EvmeshError as error:
            checks.append(failed(name, error))
            continue
        records.append(record)
        read = counted(len(record.readings), "reading")
        said = f"OCMF {record.version or '1.x'}, page {record.pagination}, {read}"
        checks.append(Check(name, Status.OK, said))
    return tuple(checks), tuple(records) if len(records) == len(raws) else None


def _signature(name: str, record: OcmfRecord, key: bytes | None, signatures: MeterSignatures) -> Check:
    if key is None:
        return Check(name, Status.NOT_CHECKED, NO_KEY.why)
    algorithm = record.signature.algorithm
    try:
        signatures.check(algorithm, key, record.payload, record.signature.data)
    except IntegrityFailure as error:
        return failed(name, error)
    said = f"{algorithm} over {len(record.payload)} bytes, by the owner of the given key"
    return Check(name, Status.OK, said)


def _worst(checks: Sequence[Check]) -> Status:
    statuses = {check.status for check in checks}
    for status in (Status.FAILED, Status.NOT_CHECKED):
        if status in statuses:
            return status
    return Status.OK


def source(charge: OcmfCharge) -> Finding:
    """Check that all records are of one gateway and one meter."""
    first = charge.records[0]
    for record in charge.records[1:]:
        require(record.gateway == first.gateway, "ocmf.other_gateway", "the gateways differ", "GS")
        require(record.meter == first.meter, "ocmf.other_meter", "the meters differ", "MS")
    serial = first.meter.serial or first.gateway.serial
    return f"one source, {'meter' if first.meter.serial else 'gateway'} {serial}"


def pagination(charge: OcmfCharge) -> Finding:
    """Check that the records follow each other in one context, none missing."""
    for before, record in pairwise(charge.records):
        said = f"{record.pagination} after {before.pagination}"
        require(record.context == before.context, "ocmf.other_context", said, "PG")
        require(record.page == before.page + 1, "ocmf.missing_page", said, "PG")
    pages = [record.pagination for record in charge.records]
    return f"page {pages[0]}" if len(pages) == 1 else f"pages {pages[0]} to {pages[-1]}, none missing"


def user(charge: OcmfCharge) -> Finding:
    """Check that the user, where one is named, is the same throughout and was not turned down."""
    users = [record.user for record in charge.records if record.user is not None]
    for one in users:
        require(one.level not in LEVEL_ERRORS, "ocmf.user_error", f"level {one.level}", "IL")
        require(
            (one.id_type, one.id) == (users[0].id_type, users[0].id), "ocmf.other_user", "two users", "ID"
        )
    return "one user, or none, throughout"


def begin_and_end(charge: OcmfCharge) -> Finding:
    """Check that one reading begins the charge, and a later one, of the same register, ends it."""
    require(len(charge.begins) < 2, "ocmf.many_begins", f"{len(charge.begins)} readings begin it", "RD")
    require(len(charge.ends) < 2, "ocmf.many_ends", f"{len(charge.ends)} readings end it", "RD")
    if charge.context != "T" or (not charge.begins and not charge.ends):
        return NotChecked("the readings neither begin nor end a charge")
    if not charge.begins or not charge.ends:
        missing = "begins" if not charge.begins else "ends"
        return NotChecked(f"no reading {missing} the charge: give the record in which one does")
    ordered = charge.readings[0].reason is ReadingReason.BEGIN and charge.readings[-1] is charge.ends[0]
    require(ordered, "ocmf.out_of_order", "a reading stands before the begin or after the end", "RD")
    return f"{counted(len(charge.readings), 'reading')} of {charge.readings[0].register_text}, begin to end"


def register(charge: OcmfCharge) -> Finding:
    """Check that there is a register of energy into the car, read each time with the same kind of meter."""
    require(bool(charge.readings), "ocmf.no_register", "no reading is of energy into the car", "RD")
    first = charge.readings[0]
    for reading in charge.readings:
        require(
            reading.register_text == first.register_text,
            "ocmf.other_register",
            f"{reading.register_text} after {first.register_text}",
            "RI",
        )
        require(reading.unit == first.unit, "ocmf.other_unit", f"{reading.unit} after {first.unit}", "RU")
        require(reading.current == first.current, "ocmf.other_current", "AC and DC", "RT")
    for event in (reading for reading in charge.all_readings if reading.value is None):
        tells = event.status is not MeterState.OK or event.errors or event.reason is ReadingReason.EXCEPTION
        require(bool(tells), "ocmf.no_value", f"neither a value nor an error at {event.at}", "RV")
    return f"{first.register_text} in {first.unit}"


def meter_state(charge: OcmfCharge) -> Finding:
    """Check that the meter was well in every reading, whatever the register."""
    for reading in charge.all_readings:
        require(
            reading.status is MeterState.OK,
            "ocmf.meter_not_ok",
            f"{reading.status.name} at {reading.at}",
            "ST",
        )
    return f"it was well in every reading of {len(charge.all_readings)}"


def errors(charge: OcmfCharge) -> Finding:
    """Check that no reading says that energy or time cannot be used."""
    for reading in charge.all_readings:
        names = ", ".join(sorted(flag.name.lower() for flag in reading.errors))
        require(not reading.errors, "ocmf.error_flag", f"{names} at {reading.at}", "EF")
        exception = reading.reason is ReadingReason.EXCEPTION
        require(not exception, "ocmf.exception", f"an error while charging at {reading.at}", "TX")
    return "no reading has an error flag"


def times(charge: OcmfCharge) -> Finding:
    """Check that time goes forward, and is counted to the end in the way in which it was begun."""
    for before, reading in pairwise(charge.all_readings):
        require(reading.at >= before.at, "ocmf.time_went_back", f"{reading.at} after {before.at}", "TM")
        relative = before.time_status is TimeStatus.RELATIVE and reading.reason is not ReadingReason.BEGIN
        require(
            not relative or reading.time_status is TimeStatus.RELATIVE,
            "ocmf.other_clock",
            f"{reading.time_status.name} time after relative time",
            "TM",
        )
    if charge.begins and charge.ends:
        forward = charge.ends[0].at > charge.begins[0].at
        require(forward, "ocmf.time_stood", "it ended when it began", "TM")
    kinds = ", ".join(sorted({reading.time_status.name.lower() for reading in charge.all_readings}))
    return f"time goes forward ({kinds})"


def energy(charge: OcmfCharge) -> Finding:
    """Check that the register never went back; the energy is its end less its begin."""
    values = [reading.value for reading in charge.readings if reading.value is not None]
    for before, value in pairwise(values):
        require(value >= before, "ocmf.register_went_back", f"{value} mWh after {before} mWh", "RV")
    if charge.energy is None:
        return NotChecked("the readings are not a whole charge")
    return f"{charge.energy} mWh, of which {charge.billable} Wh can be billed"


def cable_loss(charge: OcmfCharge) -> Finding:
    """Check that the loss that was taken off for the cable begins at nothing and never shrinks."""
    losses = [(reading, reading.loss) for reading in charge.readings if reading.loss is not None]
    before = MilliWh(0)
    for reading, loss in losses:
        begins = reading.reason is ReadingReason.BEGIN
        require(not begins or loss == 0, "ocmf.loss_not_reset", f"{loss} mWh at the begin", "CL")
        require(loss >= before, "ocmf.loss_went_back", f"{loss} mWh after {before} mWh", "CL")
        before = loss
    return f"{before} mWh were taken off" if losses else "none was taken off"


PLAUSIBILITY: Final[tuple[tuple[str, Callable[[OcmfCharge], Finding]], ...]] = (
    ("source", source),
    ("pagination", pagination),
    ("user", user),
    ("register", register),
    ("begin and end", begin_and_end),
    ("meter state", meter_state),
    ("error flags", errors),
    ("times", times),
    ("cable loss", cable_loss),
    ("energy", energy),
)
