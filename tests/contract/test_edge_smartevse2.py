"""The SmartEVSE v2 driver against a controller on a pseudo-terminal that prints what its firmware prints."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from evmesh.domain.errors import ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.sim.smartevse2 import ControllerV2, Nuisance, SerialEnd, serve_controller
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
PATIENT_S = 10.0
"""For answers that come: how soon says nothing about the driver."""

STATE = ValueName.OPERATION_STATE
LIMIT = ValueName.MAXIMUM_OUTPUT_CURRENT


@asynccontextmanager
async def opened(controller: ControllerV2) -> AsyncIterator[tuple[SmartEvse2, SerialEnd]]:
    with serve_controller(controller) as end:
        async with SmartEvse2(end.path, timeout_s=PATIENT_S) as driver:
            yield driver, end


@contextmanager
def hasty(driver: SmartEvse2) -> Iterator[None]:
    """Give answers up soon for the block, in which none comes."""
    driver._timeout_s = 0.6
    yield
    driver._timeout_s = PATIENT_S


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_its_settings_are_read_from_its_menu() -> None:
    async with opened(ControllerV2(temperature=44)) as (driver, _):
        settings = await driver.settings()
        assert (settings["MAX"], settings["CABLE"], settings["TEMPERATURE"]) == ("16 A", "32 A", "44")
        assert settings["CONFIG"] == "Fixed Cable"
        assert (await driver.identify()).version == "2.05"


async def test_its_state_is_unknown_until_it_tells_of_a_change() -> None:
    async with opened(ControllerV2(pilot="C")) as (driver, end):
        assert (await driver.read())[STATE] == "unknown"
        end.change("B")
        await until(lambda: driver.pilot == "B")
        assert (await driver.read())[STATE] == "idle"
        end.change("C")
        await until(lambda: driver.pilot == "C")
        assert (await driver.read())[STATE] == "charging"


async def test_after_a_reconnection_its_state_is_unknown_again() -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, end):
        await driver.read()
        end.change("C")
        await until(lambda: driver.pilot == "C")
        controller.nuisance = Nuisance.SILENT
        with hasty(driver), pytest.raises(Unavailable, match=r"device\.away"):
            await driver.read()
        controller.nuisance = Nuisance.NONE
        assert (await driver.read())[STATE] == "unknown"


async def test_a_cable_that_carries_less_is_the_limit() -> None:
    async with opened(ControllerV2(numbers={"MAX": 32, "MIN": 6, "MAINS": 25, "CABLE": 20})) as (driver, _):
        assert (await driver.read())[LIMIT] == 20_000


async def test_a_limit_is_set_in_whole_amperes_and_written_once() -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, _):
        await driver.limit(Milliamp(13_900))
        assert controller.numbers["MAX"] == 13
        await driver.limit(Milliamp(13_200))
        assert controller.writes == 1
        assert (await driver.read())[LIMIT] == 13_000


@pytest.mark.parametrize("current", [0, 6_000, 9_999])
async def test_less_than_it_can_offer_is_the_contactor_s_business(current: int) -> None:
    async with opened(ControllerV2()) as (driver, _):
        with pytest.raises(Refused, match=r"device\.limit_refused"):
            await driver.limit(Milliamp(current))


async def test_what_it_calls_beyond_its_limits_is_refused() -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, _):
        with pytest.raises(Refused, match=r"device\.limit_refused"):
            await driver.set("CABLE", "12")
        assert controller.numbers["CABLE"] == 32


async def test_words_are_set_too_and_what_it_does_not_have_now_is_said() -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, _):
        with pytest.raises(Refused, match="no LOCK"):
            await driver.set("LOCK", "MOTOR")
        await driver.set("CONFIG", "SOCKET")
        await driver.set("LOCK", "MOTOR")
        await driver.set("LOCK", "DISABLE")
    assert controller.words["LOCK"] == "Disabled"
    assert controller.writes == 3


async def test_a_command_that_was_broken_off_does_not_spoil_the_next() -> None:
    controller = ControllerV2()
    controller.type("MAX\r3")  # somebody died in the middle of it
    async with opened(controller) as (driver, _):
        await until_it_answers(driver)
        assert (await driver.read())[LIMIT] == 16_000


async def until_it_answers(driver: SmartEvse2) -> None:
    """Read once: the first empty line ends what was begun, and may be refused for it."""
    try:
        await driver.read()
    except (Unavailable, ProtocolViolation):
        await driver.read()


@pytest.mark.parametrize("nuisance", [Nuisance.SILENT, Nuisance.CUT, Nuisance.NOISE])
async def test_no_nuisance_on_the_line_becomes_a_number(nuisance: Nuisance) -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, _):
        await driver.read()
        controller.nuisance = nuisance
        with hasty(driver), pytest.raises((Unavailable, ProtocolViolation), match=r"device\."):
            await driver.read()
        controller.nuisance = Nuisance.NONE
        assert (await driver.read())[LIMIT] == 16_000


async def test_a_state_line_in_the_middle_of_an_answer_is_heard_and_breaks_nothing() -> None:
    controller = ControllerV2(pilot="B", nuisance=Nuisance.CHATTER)
    async with opened(controller) as (driver, _):
        assert await driver.read() == {STATE: "charging", LIMIT: 16_000}


async def test_a_restart_is_survived() -> None:
    async with opened(ControllerV2()) as (driver, end):
        await driver.read()
        end.restart()
        assert (await driver.read())[LIMIT] == 16_000


async def test_after_a_restart_its_state_is_unknown_again() -> None:
    async with opened(ControllerV2()) as (driver, end):
        await driver.read()
        end.change("C")
        await until(lambda: driver.pilot == "C")
        end.restart()
        await until(lambda: driver.pilot is None)
        assert (await driver.read())[STATE] == "unknown"


async def test_after_noise_its_state_is_unknown_for_a_change_may_have_been_in_it() -> None:
    controller = ControllerV2()
    async with opened(controller) as (driver, end):
        await driver.read()
        end.change("C")
        await until(lambda: driver.pilot == "C")
        controller.nuisance = Nuisance.NOISE
        with pytest.raises(ProtocolViolation, match=r"device\.nonsense"):
            await driver.read()
        controller.nuisance = Nuisance.NONE
        assert (await driver.read())[STATE] == "unknown"


async def test_a_line_that_is_not_there_is_said() -> None:
    async with SmartEvse2("/dev/no-such-line") as driver:
        with pytest.raises(Unavailable, match=r"device\.away"):
            await driver.read()
