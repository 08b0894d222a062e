"""Templates of register devices, whole and broken."""

from importlib import resources

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import ValueName
from evmesh.edge.device import Grade
from evmesh.edge.template import load_template, parse_template, template_ids
from evmesh.edge.words import WIDTH

LONGEST = 40
"""Lines that a new register meter may take: no Python, and not much else."""

WHOLE = """
[device]
make = "A"
model = "B"
kind = "meter"
grade = "bronze"
source = "its datasheet"

[read.PowerOutput]
address = 10
type = "i32"
"""


@pytest.mark.parametrize("id", template_ids())
def test_every_template_is_whole_and_short(id: str) -> None:
    template = load_template(id)
    assert template.points
    assert template.grade is Grade.GOLD
    text = resources.files("evmesh.edge.templates").joinpath(f"{id}.toml").read_text()
    assert len(text.splitlines()) <= LONGEST


def test_a_template_says_where_a_value_lies() -> None:
    template = parse_template("mine", WHOLE)
    point = template.point(ValueName.POWER_OUTPUT)
    assert point is not None
    assert [place.address for place in point.places] == [10]
    assert WIDTH[point.kind] == 2
    assert template.point(ValueName.STATE_OF_CHARGE) is None


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('kind = "meter"', 'kind = "toaster"', "device.kind"),
        ('grade = "bronze"', "", "device.grade"),
        ('make = "A"', "make = 3", "device.make"),
        ("address = 10", "address = 70000", "read.PowerOutput.address"),
        ("address = 10", "address = -1", "read.PowerOutput.address"),
        ("address = 10", "address = true", "read.PowerOutput.address"),
        ("address = 10", "", "read.PowerOutput.address"),
        ("address = 10", "address = [1, 3]", "read.PowerOutput.combine"),
        ("address = 10", "adress = 10", "read.PowerOutput.adress"),
        ('type = "i32"', 'type = "i24"', "read.PowerOutput.type"),
        ('type = "i32"', 'type = "i32"\nscale = 0.1', "read.PowerOutput.scale"),
        ('type = "i32"', 'type = "i32"\nscale = "0"', "read.PowerOutput.scale"),
        ('type = "i32"', 'type = "i32"\nscale = "NaN"', "read.PowerOutput.scale"),
        ('type = "i32"', 'type = "i32"\nfunction = 5', "read.PowerOutput.function"),
        ('type = "i32"', 'type = "i32"\nnone = 0x1FFFFFFFF', "read.PowerOutput.none"),
        ('type = "i32"', 'type = "i32"\nexponent = 3', "read.PowerOutput.exponent"),
        ('type = "i32"', 'type = "i32"\nwords = { 0 = "idle" }', "read.PowerOutput.words"),
        ("[read.PowerOutput]", "[read.Power]", "read.Power"),
        ("[read.PowerOutput]", "[red.PowerOutput]", "red"),
        (
            'type = "i32"',
            'type = "i32"\n[write.PowerOutput]\naddress = 1\ntype = "f32"',
            "write.PowerOutput.type",
        ),
        ('type = "i32"', 'type = "i32"\n[line]\nunit = 300', "line.unit"),
    ],
)
def test_what_is_wrong_in_a_template_is_named_with_its_place(old: str, new: str, path: str) -> None:
    assert old in WHOLE
    with pytest.raises(InvalidInput, match=r"template\.bad") as refused:
        parse_template("mine", WHOLE.replace(old, new))
    assert refused.value.path == path


def test_a_template_that_nobody_wrote_is_said_with_those_that_are_there() -> None:
    with pytest.raises(InvalidInput, match=r"template\.unknown") as refused:
        load_template("../../../etc/passwd")
    assert "abb-b23" in refused.value.do


def test_what_is_no_toml_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"template\.bad"):
        parse_template("mine", "[device")
