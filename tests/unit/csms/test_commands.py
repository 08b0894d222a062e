from datetime import timedelta

import msgspec
import pytest

from evmesh.csms import schemas
from evmesh.csms.config import CsmsConfig
from evmesh.csms.v16 import commands
from evmesh.csms.v16.commands import Command
from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import LimitPeriod, LimitProfile
from evmesh.domain.units import W
from tests.drivers.raw_station import NOW


def profile(*offsets: int, minutes: int = 30) -> LimitProfile:
    periods = tuple(LimitPeriod(offset, W(7_360)) for offset in offsets)
    return LimitProfile(NOW, NOW + timedelta(minutes=minutes), periods, "planner")


@pytest.mark.parametrize(
    "command",
    [
        commands.remote_start(1, "T" * 20),
        commands.remote_stop(7),
        commands.set_limit(1, 7, profile(0, 900)),
        commands.set_default_limit(2, W(1_380)),
        *commands.configuration(CsmsConfig()),
    ],
    ids=lambda command: command.action,
)
def test_each_command_keeps_to_its_schema(command: Command) -> None:
    assert schemas.check_call(command.action, msgspec.to_builtins(command.payload)) is None


def test_a_limit_replaces_the_one_before_of_the_same_transaction_and_no_other() -> None:
    first, second, other = (
        msgspec.to_builtins(commands.set_limit(1, transaction, profile(*offsets)).payload)[
            "csChargingProfiles"
        ]
        for transaction, offsets in ((7, (0,)), (7, (0, 60)), (8, (0,)))
    )
    assert (first["chargingProfileId"], first["stackLevel"]) == (
        second["chargingProfileId"],
        second["stackLevel"],
    )
    assert other["chargingProfileId"] != first["chargingProfileId"]


def test_the_default_limit_is_for_every_transaction_and_for_good() -> None:
    sent = msgspec.to_builtins(commands.set_default_limit(2, W(1_380)).payload)
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": ({"startPeriod": 0, "limit": 1_380},)}
    assert sent["connectorId"] == 2
    assert sent["csChargingProfiles"] == {
        "chargingProfileId": 2_000_000_002,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }


@pytest.mark.parametrize(
    "malformed",
    [profile(), profile(60), profile(0, 60, 60), profile(0, 90, 60), profile(0, minutes=0)],
)
def test_a_limit_that_a_station_could_not_read_is_not_sent(malformed: LimitProfile) -> None:
    with pytest.raises(InvalidInput, match=r"limit\.malformed"):
        commands.set_limit(1, 7, malformed)


def test_an_answer_is_a_yes_a_no_or_none() -> None:
    command = commands.remote_stop(7)
    assert command.accepted({"status": "Accepted"}) is True
    assert command.accepted({"status": "Rejected", "more": 1}) is False
    assert command.accepted({"status": "Perhaps"}) is None
    assert command.accepted({"status": ["Accepted"]}) is None
    assert command.accepted({}) is None
    assert commands.set_limit(1, 7, profile(0)).accepted({"status": "NotSupported"}) is False
