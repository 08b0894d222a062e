"""The Mennekes driver against a charger that was written from its documentation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.mhcp import MhcpCharger
from evmesh.sim.mhcp import Amtron, Upset, serve_amtron
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
PATIENT_S = 10.0
"""For answers that come: how soon says nothing about the driver."""


@asynccontextmanager
async def opened(charger: Amtron, key: str = "4711") -> AsyncIterator[MhcpCharger]:
    async with (
        serve_amtron(charger) as port,
        MhcpCharger("127.0.0.1", key, port=port, timeout_s=PATIENT_S, pause_s=0) as driver,
    ):
        yield driver


async def test_a_charging_amtron_is_read() -> None:
    async with opened(Amtron(state="Charging", session_wh=8_420, power_w=11_040)) as driver:
        picture = await driver.read()
        assert set(picture) == driver.values
    assert picture == {
        ValueName.OPERATION_STATE: "charging",
        ValueName.POWER_OUTPUT: 11_040,
        ValueName.SESSION_ENERGY: 8_420,
        ValueName.MAXIMUM_OUTPUT_CURRENT: 16_000,
    }


async def test_the_current_that_is_set_is_never_told_as_one_that_flows() -> None:
    async with opened(Amtron(state="Idle", current_a=16, power_w=0)) as driver:
        assert ValueName.OUTPUT_CURRENT not in await driver.read()


async def test_the_energy_of_a_session_is_never_told_as_the_lifetime_register() -> None:
    async with opened(Amtron(state="Charging", session_wh=8_420)) as driver:
        assert ValueName.TOTAL_ENERGY_CONSUMPTION not in await driver.read()


async def test_without_a_car_there_is_no_session_energy_though_the_last_one_s_is_shown() -> None:
    async with opened(Amtron(state="Idle", session_wh=12_648)) as driver:
        assert (await driver.read())[ValueName.SESSION_ENERGY] is None


@pytest.mark.parametrize(
    ("state", "word"),
    [("Paused", "idle"), ("StandbyConnect", "idle"), ("Terminated", "idle"), ("Dancing", "unknown")],
)
async def test_its_states_are_understood_and_others_are_unknown(state: str, word: str) -> None:
    async with opened(Amtron(state=state)) as driver:
        assert (await driver.read())[ValueName.OPERATION_STATE] == word


async def test_it_says_what_it_is() -> None:
    async with opened(Amtron()) as driver:
        identity = await driver.identify()
    assert (identity.make, identity.model, identity.serial) == ("Mennekes", "1341202", "20190815")


@pytest.mark.parametrize(("wanted", "held"), [(16_000, 16), (10_900, 10), (5_999, 0), (0, 0), (63_000, 32)])
async def test_a_limit_is_set_in_whole_amperes_rounded_down(wanted: int, held: int) -> None:
    charger = Amtron(remote_a=13)
    async with opened(charger) as driver:
        await driver.limit(Milliamp(wanted))
    assert charger.remote_a == held


async def test_a_limit_that_it_does_not_keep_is_said() -> None:
    async with opened(Amtron(mode="Time", remote_a=13)) as driver:
        with pytest.raises(Refused, match=r"device\.limit_refused"):
            await driver.limit(Milliamp(8_000))


async def test_a_wrong_key_is_said_with_where_the_right_one_stands() -> None:
    async with opened(Amtron(), key="0000") as driver:
        with pytest.raises(InvalidInput, match=r"device\.wrong_key") as refused:
            await driver.read()
        assert "APP-PIN" in refused.value.do
        with pytest.raises(InvalidInput, match=r"device\.wrong_key"):
            await driver.limit(Milliamp(8_000))


@pytest.mark.parametrize("upset", [Upset.HANGS, Upset.BREAKS_OFF])
async def test_an_answer_that_does_not_come_whole_is_none(upset: Upset) -> None:
    charger = Amtron(power_w=7_000, upset=upset)
    async with opened(charger) as driver:
        driver._timeout_s = 0.8  # of the whole: none comes
        with pytest.raises(Unavailable, match=r"device\.away"):
            await driver.read()
        driver._timeout_s = PATIENT_S
        charger.upset = Upset.NONE
        assert (await driver.read())[ValueName.POWER_OUTPUT] == 7_000


@pytest.mark.parametrize("upset", [Upset.NO_JSON, Upset.ERROR, Upset.EMPTY])
async def test_nonsense_is_no_number(upset: Upset) -> None:
    async with opened(Amtron(upset=upset)) as driver:
        with pytest.raises(ProtocolViolation, match=r"device\.nonsense"):
            await driver.read()


async def test_a_charger_that_is_off_is_away() -> None:
    async with MhcpCharger("127.0.0.1", "1", port=1, timeout_s=0.3) as driver:
        with pytest.raises(Unavailable, match=r"device\.away"):
            await driver.read()
