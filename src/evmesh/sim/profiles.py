"""OCPP 1.6 charging profiles: reading them, and the current they allow at an instant (section 3.13).

Limits are kept in thousandths of their unit, rounded down, since OCPP writes them with a decimal. A profile
of the transaction stands before the station's default; what the whole station may take caps both. What
OCPP leaves open, what to do when no profile speaks any more, is answered with a safe current:
the least one, so that a group stays within its capacity though its planner is away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from evmesh.domain.units import Milliamp, W, current_from_watts

_RECURRENCY: Final = {"Daily": timedelta(days=1), "Weekly": timedelta(weeks=1)}


class Purpose(StrEnum):
    """OCPP 1.6 section 7.13."""

    CHARGE_POINT_MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


@dataclass(slots=True)
class Period:
    """From `start_s` after the schedule's start, at most `limit_milli` thousandths of the unit."""

    start_s: int
    limit_milli: int
    phases: int


@dataclass(slots=True)
class ChargingProfile:
    """One profile as the CSMS set it. `starts_at` is None where it counts from the transaction's start."""

    id: int
    stack_level: int
    purpose: Purpose
    unit: str
    periods: list[Period]
    starts_at: datetime | None = None
    every_s: int | None = None
    duration_s: int | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction_id: int | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "ChargingProfile":
        """Read `csChargingProfiles`; raises KeyError, TypeError or ValueError where it is not one."""
        schedule = raw["chargingSchedule"]
        unit = str(schedule["chargingRateUnit"])
        if unit not in ("A", "W"):
            raise ValueError(f"unknown unit {unit!r}")
        kind = str(raw["chargingProfileKind"])
        if kind not in ("Absolute", "Recurring", "Relative"):
            raise ValueError(f"unknown kind {kind!r}")
        start = schedule.get("startSchedule")
        every = _RECURRENCY[raw["recurrencyKind"]] if kind == "Recurring" else None
        periods = [_period(period) for period in schedule["chargingSchedulePeriod"]]
        if not periods or periods[0].start_s != 0:
            raise ValueError("the first period must start at 0")
        return cls(
            id=int(raw["chargingProfileId"]),
            stack_level=int(raw["stackLevel"]),
            purpose=Purpose(raw["chargingProfilePurpose"]),
            unit=unit,
            periods=sorted(periods, key=lambda period: period.start_s),
            starts_at=None if start is None or kind == "Relative" else parse_time(start),
            every_s=None if every is None else int(every.total_seconds()),
            duration_s=_optional_int(schedule.get("duration")),
            valid_from=_optional_time(raw.get("validFrom")),
            valid_to=_optional_time(raw.get("validTo")),
            transaction_id=_optional_int(raw.get("transactionId")),
        )

    def limit_at(self, at: datetime, transaction_start: datetime | None, phases: int) -> Milliamp | None:
        """Give the current per phase that this profile allows at `at`; None where it does not speak."""
        period = self._period_at(at, transaction_start)
        if period is None:
            return None
        if self.unit == "A":
            return Milliamp(period.limit_milli)
        return current_from_watts(W(period.limit_milli // 1000), min(phases, period.phases))

    def _period_at(self, at: datetime, transaction_start: datetime | None) -> Period | None:
        if (self.valid_from and at < self.valid_from) or (self.valid_to and at >= self.valid_to):
            return None
        start = self.starts_at or transaction_start
        if start is None or at < start:
            return None
        elapsed = int((at - start).total_seconds())
        if self.every_s is not None:
            elapsed %= self.every_s
        if self.duration_s is not None and elapsed >= self.duration_s:
            return None
        return next((period for period in reversed(self.periods) if period.start_s <= elapsed), None)


def install(profiles: Iterable[ChargingProfile], new: ChargingProfile) -> list[ChargingProfile]:
    """Give the profiles after `new` came: it replaces one of its id, or of its purpose and stack level."""
    kept = [
        old
        for old in profiles
        if old.id != new.id and (old.purpose, old.stack_level) != (new.purpose, new.stack_level)
    ]
    return [*kept, new]


def composite(
    profiles: Sequence[ChargingProfile],
    at: datetime,
    transaction_start: datetime | None,
    phases: int,
    safe: Milliamp,
    sharing: int = 1,
) -> Milliamp:
    """Give the current per phase that the profiles together allow; `safe` where none of them speaks.

    What caps the whole station is split evenly over the `sharing` connectors that charge.
    """
    allowed = _highest(profiles, Purpose.TX, at, transaction_start, phases)
    if allowed is None:
        allowed = _highest(profiles, Purpose.TX_DEFAULT, at, transaction_start, phases)
    if allowed is None:
        allowed = safe
    station = _highest(profiles, Purpose.CHARGE_POINT_MAX, at, transaction_start, phases)
    return allowed if station is None else min(allowed, Milliamp(station // max(1, sharing)))


def parse_time(raw: object) -> datetime:
    """Read RFC 3339; a time without offset is UTC, as OCPP 1.6 allows and stations write."""
    value = datetime.fromisoformat(str(raw))
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _highest(
    profiles: Sequence[ChargingProfile],
    purpose: Purpose,
    at: datetime,
    transaction_start: datetime | None,
    phases: int,
) -> Milliamp | None:
    """Give the limit of the highest stack level that speaks at `at`."""
    for profile in sorted(profiles, key=lambda profile: -profile.stack_level):
        if profile.purpose is purpose:
            limit = profile.limit_at(at, transaction_start, phases)
            if limit is not None:
                return limit
    return None


def _period(raw: Mapping[str, Any]) -> Period:
    limit = raw["limit"]
    if isinstance(limit, bool) or not isinstance(limit, int | Decimal) or limit < 0:
        raise ValueError(f"not a limit: {limit!r}")
    return Period(int(raw["startPeriod"]), int(limit * 1000), int(raw.get("numberPhases", 3)))


def _optional_int(raw: object) -> int | None:
    return None if raw is None else int(str(raw))


def _optional_time(raw: object) -> datetime | None:
    return None if raw is None else parse_time(raw)
