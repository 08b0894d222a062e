"""Stations without OCPP in the site file: what they are built from, and what is wrong named with its path."""

from pathlib import Path

import pytest

from evmesh.app.config import SiteConfig, load_site
from evmesh.app.platform_parts import parts_config
from evmesh.app.registration import directory_of
from evmesh.app.sim_hardware import visited
from evmesh.app.site_parts import MadeOf
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, StationId
from evmesh.domain.stations import Connector
from evmesh.edge.parts_config import CoilAt, PartAt

SITE = """
name = "Yard"
time_zone = "Europe/Amsterdam"
start = 2026-06-01T06:00:00+02:00
prices = "prices.csv"

[[group]]
name = "yard"
capacity_w = 40000
other_w = 1000

[[group.part]]
name = "hall"
capacity_w = 20000

[[group.station]]
kind = "parts"
id = "P-1"
vendor = "evmesh"
model = "from parts"
serial = "1"
lamp = "/sys/class/leds/rgb:status"
controller = { driver = "smartevse-2", line = "/dev/ttyUSB0" }
meter = { driver = "abb-b23", line = "tcp://10.0.0.5:502" }
contactor = { line = "tcp://10.0.0.5:502", unit = 3, coil = 2 }

[[group.station.connector]]
number = 1
name = "bay-1"
evse_id = "NL*EVM*E1"
rating_w = 11040
phases = 3
max_current_ma = 16000
latitude_udeg = 0
longitude_udeg = 0
price = 350000

[[group.station]]
kind = "mennekes"
id = "amtron"
vendor = "Mennekes"
model = "Amtron"
serial = "2"
rating_w = 11040
part = "hall"
host = "10.0.0.21"
key_file = "amtron.pin"
"""
SIMULATED = (
    SITE.replace('lamp = "/sys/class/leds/rgb:status"', "simulated = true")
    .replace(', line = "/dev/ttyUSB0"', "")
    .replace(', line = "tcp://10.0.0.5:502"', "")
    .replace('line = "tcp://10.0.0.5:502", ', "")
    .replace('"abb-b23"', '"gavazzi-em340"')
    .replace('host = "10.0.0.21"\nkey_file = "amtron.pin"', "simulated = true")
)


def load(directory: Path, text: str = SITE) -> SiteConfig:
    path = directory / "site.toml"
    path.write_text(text)
    return load_site(path)


def test_a_station_from_parts_is_read_with_its_lines(tmp_path: Path) -> None:
    [station] = load(tmp_path).groups[0].stations
    assert station.made_of == MadeOf(
        PartAt("smartevse-2", "/dev/ttyUSB0"),
        PartAt("abb-b23", "tcp://10.0.0.5:502"),
        CoilAt("tcp://10.0.0.5:502", 3, 2),
        "/sys/class/leds/rgb:status",
    )
    [(name, connector)] = station.connectors
    assert (name, connector.least_current, connector.least_power) == ("bay-1", 10_000, 6_900)


def test_a_smartevse_3_needs_no_contactor_and_offers_6_a(tmp_path: Path) -> None:
    text = SITE.replace('"smartevse-2"', '"smartevse-3"')
    text = text.replace('contactor = { line = "tcp://10.0.0.5:502", unit = 3, coil = 2 }\n', "")
    [station] = load(tmp_path, text).groups[0].stations
    assert station.connectors[0][1].least_current == 6_000


async def test_a_charger_that_is_looked_at_keeps_its_rating_free_where_it_hangs(tmp_path: Path) -> None:
    site = load(tmp_path)
    [charger] = site.observed()
    assert (charger.host, charger.port, charger.key_file) == ("10.0.0.21", 25_000, tmp_path / "amtron.pin")

    async def number_of(connector: Connector, deposit: Address, group: int) -> int:
        return 1

    [group] = (await directory_of(site, b"\1" * 32, number_of)).groups.values()
    assert (group.other, group.nodes[0].other, group.others) == (1_000, 11_040, 12_040)
    assert [place.name for place in group.places] == ["bay-1"]


def test_real_hardware_is_where_the_site_file_says_and_simulated_where_the_simulation_puts_it(
    tmp_path: Path,
) -> None:
    real, simulated = load(tmp_path), load(tmp_path, SIMULATED)
    made = [site.groups[0].stations[0].made_of for site in (real, simulated)]
    assert made[0] is not None
    assert made[1] is not None
    there = parts_config(tmp_path, StationId("P-1"), made[0])
    assert there.controller == PartAt("smartevse-2", "/dev/ttyUSB0")
    assert there.meter == PartAt("abb-b23", "tcp://10.0.0.5:502", 1)
    assert there.contactor == CoilAt("tcp://10.0.0.5:502", 3, 2)
    home = tmp_path / "sim" / "parts" / "station-P-1"
    here = parts_config(tmp_path, StationId("P-1"), made[1])
    assert here.controller == PartAt("smartevse-2", str(home / "controller"))
    assert here.meter == PartAt("gavazzi-em340", str(home / "bus"), 1)
    assert here.contactor == CoilAt(str(home / "bus"), 3, 2)
    assert here.lamp == home / "rgb:status"
    assert visited(real) == set()  # nobody who is simulated can plug in at real hardware
    assert visited(simulated) == {"bay-1", "amtron"}


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('kind = "parts"', 'kind = "ocpi"', "kind"),
        ('"smartevse-2"', '"smartevse-9"', "controller.driver"),
        ('"smartevse-2"', '"abb-b23"', "controller.driver"),
        ('"abb-b23"', '"abb-b99"', "meter.driver"),
        ('"abb-b23"', '"sunspec-inverter"', "meter.driver"),
        ('meter = { driver = "abb-b23", line = "tcp://10.0.0.5:502" }', "", "meter"),
        ('meter = { driver = "abb-b23", line = "tcp://10.0.0.5:502" }', "meter = 5", "meter"),
        (', line = "/dev/ttyUSB0"', "", "controller.line"),
        ('contactor = { line = "tcp://10.0.0.5:502", unit = 3, coil = 2 }', "", "contactor"),
        ("unit = 3", "unit = 256", "contactor.unit"),
        ("unit = 3", "unit = 1", "contactor.unit"),
        ("max_current_ma = 16000", "max_current_ma = 6000", "connector[0].max_current_ma"),
        ("number = 1", "number = 2", "connector"),
        ('lamp = "/sys', 'simulated = 1\nlamp = "/sys', "simulated"),
        ('lamp = "/sys', 'simulated = true\nlamp = "/sys', "lamp"),
        ('lamp = "/sys/class/leds/rgb:status"', "simulated = true", "controller.line"),
    ],
)
def test_a_wrong_part_is_named(tmp_path: Path, old: str, new: str, path: str) -> None:
    assert old in SITE
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, SITE.replace(old, new, 1))
    assert refused.value.path == f"group[0].station[0].{path}"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('id = "amtron"', 'id = "Amtron"', "id"),
        ("rating_w = 11040\npart", "part", "rating_w"),
        ('part = "hall"', 'part = "attic"', "part"),
        ('host = "10.0.0.21"\n', "", "host"),
        ('key_file = "amtron.pin"', "", "key_file"),
        ('host = "10.0.0.21"', 'host = "10.0.0.21"\nport = 0', "port"),
        ('host = "10.0.0.21"', 'host = "10.0.0.21"\nconnector = []', "connector"),
        ('host = "10.0.0.21"', 'host = "10.0.0.21"\nsimulated = true', "host"),
    ],
)
def test_a_wrong_charger_is_named(tmp_path: Path, old: str, new: str, path: str) -> None:
    assert old in SITE
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, SITE.replace(old, new, 1))
    assert refused.value.path == f"group[0].station[1].{path}"


def test_a_group_has_something_that_can_be_steered_and_names_are_not_given_twice(tmp_path: Path) -> None:
    only = SITE[: SITE.index('[[group.station]]\nkind = "parts"')] + SITE[SITE.rindex("[[group.station]]") :]
    with pytest.raises(InvalidInput, match="can be steered"):
        load(tmp_path, only)
    with pytest.raises(InvalidInput, match=r"site\.duplicate"):
        load(tmp_path, SITE.replace('id = "amtron"', 'id = "bay-1"'))


def test_what_cannot_be_simulated_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="simulated are") as refused:
        load(tmp_path, SIMULATED.replace('"gavazzi-em340"', '"abb-b23"'))
    assert refused.value.path == "group[0].station[0].meter.driver"
