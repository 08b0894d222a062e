"""What a site file says of PV, batteries and meters of other equipment."""

from pathlib import Path

import pytest

from evmesh.app.config import SiteConfig, load_site
from evmesh.app.sim_equipment import simulated_devices
from evmesh.domain.equipment import NO_EQUIPMENT, Equipment, LoadMeter, Pv, StationaryBattery
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.units import W, Wh
from tests.unit.app.test_site_config import SITE, write

EQUIPMENT = """
[group.load]
name = "hall-meter"
headroom_w = 1500

[group.pv]
name = "roof"
peak_w = 20000
feed_in_price = -5000
simulated = true

[group.battery]
name = "cellar"
capacity_wh = 10000
max_in_w = 4000
max_out_w = 3000
efficiency_per_mille = 920
keep_wh = 1000
"""
WITH_OTHER = SITE.replace("capacity_w = 16000", "capacity_w = 16000\nother_w = 4000")


def site_with(directory: Path, equipment: str, site: str = WITH_OTHER) -> SiteConfig:
    before, station, after = site.partition("[[group.station]]")
    return load_site(write(directory, before + equipment + "\n" + station + after))


def test_a_group_without_equipment_has_none(tmp_path: Path) -> None:
    wiring = load_site(write(tmp_path, SITE)).groups[0].wiring
    assert wiring.equipment == NO_EQUIPMENT
    assert wiring.simulated == frozenset()


def test_all_equipment_is_read(tmp_path: Path) -> None:
    wiring = site_with(tmp_path, EQUIPMENT).groups[0].wiring
    assert wiring.equipment == Equipment(
        Pv("roof", W(20_000), Price(-5_000)),
        LoadMeter("hall-meter", W(4_000), W(1_500)),
        StationaryBattery("cellar", Wh(10_000), W(4_000), W(3_000), 920, Wh(1_000)),
    )
    assert wiring.simulated == {"roof"}


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('name = "roof"', 'name = "The roof"', "group[0].pv.name"),
        ('name = "roof"', 'name = "cellar"', "group[0].name"),
        ("peak_w = 20000", "peak_w = 0", "group[0].pv.peak_w"),
        ("feed_in_price = -5000", "", "group[0].pv.feed_in_price"),
        ("feed_in_price = -5000", "feed_in_price = 0.08", "group[0].pv.feed_in_price"),
        (
            "efficiency_per_mille = 920",
            "efficiency_per_mille = 1001",
            "group[0].battery.efficiency_per_mille",
        ),
        ("capacity_wh = 10000", 'capacity_wh = "10 kWh"', "group[0].battery.capacity_wh"),
        ("headroom_w = 1500", "headroom_w = -1", "group[0].load.headroom_w"),
        ("simulated = true", 'simulated = "yes"', "group[0].pv.simulated"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_path(tmp_path: Path, old: str, new: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        site_with(tmp_path, EQUIPMENT.replace(old, new))
    assert refused.value.path == path


def test_a_meter_needs_the_most_that_it_can_show(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        site_with(tmp_path, EQUIPMENT, SITE)
    assert refused.value.path == "group[0].other_w"


def test_equipment_has_no_name_that_a_charge_point_has(tmp_path: Path) -> None:
    taken = load_site(write(tmp_path, SITE)).groups[0].stations[0].connectors[0][0].lower()
    with pytest.raises(InvalidInput, match="stands twice"):
        site_with(tmp_path, EQUIPMENT.replace("cellar", taken))


PART = """
[[group.part]]
name = "mill"
capacity_w = 9000
other_w = 2000
other_lines = [1, 3]

[group.part.load]
name = "mill-meter"

[group.part.pv]
name = "mill-roof"
peak_w = 7000
feed_in_price = 60000
simulated = true

[group.part.battery]
name = "mill-cellar"
capacity_wh = 5000
max_in_w = 2000
max_out_w = 2000
efficiency_per_mille = 900
"""


def test_equipment_of_a_part_is_read_and_the_simulated_of_it_known(tmp_path: Path) -> None:
    site = site_with(tmp_path, EQUIPMENT + PART)
    (group,) = site.groups
    (mill,) = group.wiring.parts
    assert (mill.other, mill.other_lines) == (2_000, (1, 3))
    assert mill.equipment == Equipment(
        Pv("mill-roof", W(7_000), Price(60_000)),
        LoadMeter("mill-meter", W(2_000)),
        StationaryBattery("mill-cellar", Wh(5_000), W(2_000), W(2_000), 900),
    )
    assert group.wiring.simulated == {"roof", "mill-roof"}
    assert simulated_devices(site) == ["mill-roof", "roof"]
    assert [one.equipment.names for one in group.wiring.parts] == [("mill-roof", "mill-meter", "mill-cellar")]
    assert group.wiring.other_lines == (1, 2, 3)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("peak_w = 7000", "peak_w = 0", "group[0].part[0].pv.peak_w"),
        ("other_w = 2000\n", "", "group[0].part[0].other_w"),
        ("[1, 3]", "[1, 1]", "group[0].part[0].other_lines"),
        ("[1, 3]", "[]", "group[0].part[0].other_lines"),
        ("[1, 3]", "[4]", "group[0].part[0].other_lines"),
        ("[1, 3]", "1", "group[0].part[0].other_lines"),
    ],
)
def test_a_wrong_entry_of_a_part_is_refused_with_its_path(
    tmp_path: Path, old: str, new: str, path: str
) -> None:
    assert old in PART
    with pytest.raises(InvalidInput) as refused:
        site_with(tmp_path, EQUIPMENT + PART.replace(old, new))
    assert refused.value.path == path


def test_names_of_equipment_are_unique_over_all_parts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="stands twice"):
        site_with(tmp_path, EQUIPMENT + PART.replace("mill-roof", "roof"))
