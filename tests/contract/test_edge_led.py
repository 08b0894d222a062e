"""The lamp driver against a directory that behaves like one of the kernel's."""

from pathlib import Path

import pytest

from evmesh.domain.errors import ProtocolViolation, Unavailable
from evmesh.edge.led import Colour, SysfsLed
from evmesh.sim.led import SimLed


@pytest.mark.parametrize("index", [("red", "green", "blue"), ("blue", "red", "green", "white")])
async def test_each_colour_is_shown_whatever_the_order_of_the_lamp_s_own(
    tmp_path: Path, index: tuple[str, ...]
) -> None:
    lamp = SimLed(tmp_path / "rgb:status", index=index)
    driver = SysfsLed(lamp.directory)
    for colour in (*Colour, Colour.YELLOW):
        await driver.show(colour)
        assert lamp.shown() == colour.value


async def test_a_lamp_that_knows_on_and_off_only_shows_the_nearest(tmp_path: Path) -> None:
    lamp = SimLed(tmp_path / "rgb:status", most=1)
    driver = SysfsLed(lamp.directory)
    seen = {}
    for colour in (Colour.YELLOW, Colour.GREEN, Colour.DARK_BLUE, Colour.LIGHT_BLUE, Colour.RED, Colour.OFF):
        await driver.show(colour)
        seen[colour] = lamp.shown()
    assert seen[Colour.YELLOW] == (1, 1, 0)
    assert len(set(seen.values())) == 6


async def test_a_lamp_that_is_not_there_is_said_and_no_file_is_made(tmp_path: Path) -> None:
    lamp = SimLed(tmp_path / "rgb:status")
    lamp.detach()
    with pytest.raises(Unavailable, match=r"device\.away"):
        await SysfsLed(lamp.directory).show(Colour.RED)
    assert not (lamp.directory / "multi_intensity").exists()
    with pytest.raises(Unavailable, match=r"device\.away"):
        await SysfsLed(tmp_path / "none").show(Colour.RED)


async def test_a_lamp_without_the_three_colours_is_refused(tmp_path: Path) -> None:
    lamp = SimLed(tmp_path / "amber", index=("red", "green", "blue"))
    (lamp.directory / "multi_index").write_text("amber white\n")
    with pytest.raises(ProtocolViolation, match=r"device\.nonsense"):
        await SysfsLed(lamp.directory).show(Colour.RED)
