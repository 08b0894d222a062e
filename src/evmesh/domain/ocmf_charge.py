"""One charge in OCMF's words: the readings of the billed register, from begin to end."""

from collections.abc import Sequence
from dataclasses import dataclass

from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_reading import MilliWh, OcmfReading
from evmesh.domain.ocmf_words import ENDS, ReadingReason
from evmesh.domain.units import Wh


@dataclass(frozen=True, slots=True)
class OcmfCharge:
    """Records in their order. `readings` are the values of energy into the car.

    Where a record has registers with and without the cable's losses, those without are billed: they
    are what the car got. Nothing here says that the readings are plausible.
    """

    records: tuple[OcmfRecord, ...]
    all_readings: tuple[OcmfReading, ...]
    readings: tuple[OcmfReading, ...]

    @classmethod
    def of(cls, records: Sequence[OcmfRecord]) -> "OcmfCharge":
        """Choose the readings that are billed."""
        everything = tuple(reading for record in records for reading in record.readings)
        valued = [(one, one.register) for one in everything if one.register and one.value is not None]
        imported = [one for one, register in valued if register.is_import]
        compensated = [one for one, register in valued if register.is_import and register.is_compensated]
        return cls(tuple(records), everything, tuple(compensated or imported))

    @property
    def context(self) -> str:
        """T for a charge, F for readings that belong to none."""
        return self.records[0].context

    @property
    def begins(self) -> tuple[OcmfReading, ...]:
        """The readings that begin a charge."""
        return tuple(one for one in self.readings if one.reason is ReadingReason.BEGIN)

    @property
    def ends(self) -> tuple[OcmfReading, ...]:
        """The readings that end one."""
        return tuple(one for one in self.readings if one.reason in ENDS)

    @property
    def energy(self) -> MilliWh | None:
        """End less begin; None where there is not one of each with a value."""
        if len(self.begins) != 1 or len(self.ends) != 1:
            return None
        begin, end = self.begins[0].value, self.ends[0].value
        return None if begin is None or end is None else MilliWh(end - begin)

    @property
    def billable(self) -> Wh | None:
        """The energy in whole Wh, rounded down for the driver."""
        return None if self.energy is None else Wh(self.energy // 1000)
