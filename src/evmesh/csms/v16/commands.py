"""What we ask of a station, and what its answer means."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from evmesh.csms.config import CsmsConfig
from evmesh.csms.v16.instants import write_instant
from evmesh.csms.v16.messages import (
    Answer,
    ChangeConfiguration,
    ChargingProfile,
    ChargingSchedule,
    RemoteStartTransaction,
    RemoteStopTransaction,
    SchedulePeriod,
    SetChargingProfile,
)
from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import LimitProfile
from evmesh.domain.units import W

_SECOND: Final = timedelta(seconds=1)

_DEFAULT_PROFILE_ID: Final = 2_000_000_000
"""Profiles of transactions have the transaction's id, which counts up from 1: none is as large."""


@dataclass(frozen=True, slots=True)
class Command:
    """One CALL to a station: `statuses` are the words it may answer, and `done` those that mean yes."""

    action: str
    payload: Answer
    statuses: frozenset[str]
    done: frozenset[str] = frozenset({"Accepted"})

    def accepted(self, payload: dict[str, Any]) -> bool | None:
        """Say whether the answer is a yes; None where it is no answer to this command."""
        status = payload.get("status")
        return status in self.done if isinstance(status, str) and status in self.statuses else None


_YES_NO: Final = frozenset({"Accepted", "Rejected"})


def remote_start(connector: int, id_tag: str) -> Command:
    """Ask for a transaction."""
    return Command("RemoteStartTransaction", RemoteStartTransaction(connector, id_tag), _YES_NO)


def remote_stop(transaction_id: int) -> Command:
    """Ask for its end."""
    return Command("RemoteStopTransaction", RemoteStopTransaction(transaction_id), _YES_NO)


def set_limit(connector: int, transaction_id: int, profile: LimitProfile) -> Command:
    """Limit a transaction's power over time.

    Purpose TxProfile, so that it ends with the transaction; always the same profile id and stack
    level for one transaction, so that each replaces the one before (section 5.16.2). Raises
    InvalidInput where the profile has no period, or the first does not begin with it, or it has no duration.
    """
    offsets = [period.offset_s for period in profile.periods]
    duration = (profile.expires_at - profile.starts_at) // _SECOND
    if not offsets or offsets[0] != 0 or sorted(set(offsets)) != offsets or duration <= 0:
        raise InvalidInput(
            "limit.malformed",
            f"periods at {offsets} s in {duration} s",
            do="give a duration and periods in order, the first at 0 s",
        )
    starts_at = write_instant(profile.starts_at)
    schedule = ChargingSchedule(
        start_schedule=starts_at,
        duration=duration,
        charging_rate_unit="W",
        charging_schedule_period=tuple(
            SchedulePeriod(period.offset_s, period.limit) for period in profile.periods
        ),
    )
    charging_profile = ChargingProfile(
        charging_profile_id=transaction_id,
        transaction_id=transaction_id,
        stack_level=0,
        charging_profile_purpose="TxProfile",
        charging_profile_kind="Absolute",
        valid_from=starts_at,
        valid_to=write_instant(profile.expires_at),
        charging_schedule=schedule,
    )
    return _set_profile(connector, charging_profile)


def set_default_limit(connector: int, limit: W) -> Command:
    """Limit every transaction on a connector that has no profile of its own.

    Purpose TxDefaultProfile (section 3.13): it counts from each transaction's start, never ends, and a
    transaction's own profile overrules it. Always the same id, so that each replaces the one before.
    """
    schedule = ChargingSchedule(charging_rate_unit="W", charging_schedule_period=(SchedulePeriod(0, limit),))
    profile = ChargingProfile(
        charging_profile_id=_DEFAULT_PROFILE_ID + connector,
        stack_level=0,
        charging_profile_purpose="TxDefaultProfile",
        charging_profile_kind="Relative",
        charging_schedule=schedule,
    )
    return _set_profile(connector, profile)


def _set_profile(connector: int, profile: ChargingProfile) -> Command:
    return Command(
        "SetChargingProfile",
        SetChargingProfile(connector, profile),
        frozenset({"Accepted", "Rejected", "NotSupported"}),
    )


def configuration(config: CsmsConfig) -> tuple[Command, ...]:
    """Give what a station is set to after each boot; one that knows a key not, goes on without."""
    wanted = {
        "MeterValueSampleInterval": str(config.meter_sample_interval_s),
        "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,SoC",
        # A start that we answer Invalid must not go on charging.
        "StopTransactionOnInvalidId": "true",
        # Transaction messages are sent until they are answered: 100 times with a growing pause is days.
        "TransactionMessageAttempts": "100",
        "TransactionMessageRetryInterval": "30",
    }
    return tuple(
        Command(
            "ChangeConfiguration",
            ChangeConfiguration(key, value),
            frozenset({"Accepted", "Rejected", "RebootRequired", "NotSupported"}),
            done=frozenset({"Accepted", "RebootRequired"}),
        )
        for key, value in wanted.items()
    )
