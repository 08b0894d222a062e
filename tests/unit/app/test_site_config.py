"""One site file: what is wrong in it is named with its path, and nothing is guessed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evmesh.app.config import Tariff, load_site, load_tariff
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.money import Price

EXAMPLES = Path(__file__).parents[3] / "examples"
SITE = """
name = "Yard"
time_zone = "Europe/Amsterdam"
start = 2026-06-01T06:00:00+02:00
prices = "prices.csv"

[[group]]
name = "cabinet"
capacity_w = 16000

[[group.station]]
id = "CP-1"
vendor = "evmesh"
model = "Twin"
serial = "1"

[[group.station.connector]]
number = 1
name = "bay-1"
evse_id = "NL*EVM*E1"
rating_w = 7360
phases = 1
max_current_ma = 32000
latitude_udeg = -33500000
longitude_udeg = -70600000
price = 350000
"""
CONNECTOR = SITE[SITE.index("[[group.station.connector]]") :]


def write(directory: Path, text: str) -> Path:
    path = directory / "site.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["site.toml", "demo.toml", "tree.toml", "solar.toml"])
def test_the_examples_load(name: str) -> None:
    site = load_site(EXAMPLES / name)
    tariff = load_tariff(site.prices, site.time_zone)
    assert site.groups
    assert len(site.connectors()) >= 4
    assert tariff.price_at(site.start)
    assert site.sessions is None or site.sessions.exists()


def test_a_site_is_read_with_paths_beside_its_file(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, SITE))
    assert (site.name, site.time_zone.key) == ("Yard", "Europe/Amsterdam")
    assert site.prices == tmp_path / "prices.csv"
    assert site.sessions is None
    assert site.start == datetime(2026, 6, 1, 4, tzinfo=UTC)
    connector = site.connectors()[ConnectorRef(StationId("CP-1"), 1)]
    assert (connector.latitude_udeg, connector.longitude_udeg) == (-33_500_000, -70_600_000)
    assert connector.group == "cabinet"
    assert not site.groups[0].wiring.is_crowded


def test_a_group_may_be_crowded_from_its_first_day_on(tmp_path: Path) -> None:
    crowded = SITE.replace("capacity_w = 16000", 'capacity_w = 16000\nfirst_day = "crowded"')
    assert load_site(write(tmp_path, crowded)).groups[0].wiring.is_crowded


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('name = "Yard"\n', "", "name"),
        ('name = "Yard"', "name = 5", "name"),
        ("Europe/Amsterdam", "Mars/Olympus", "time_zone"),
        ("Europe/Amsterdam", "../../etc/passwd", "time_zone"),
        ("Europe/Amsterdam", "Europe", "time_zone"),
        ("Europe/Amsterdam", "", "time_zone"),
        ("06:00:00+02:00", "06:00:00", "start"),
        ("2026-06-01T06:00:00+02:00", '"2026-06-01"', "start"),
        ("2026-06-01T06:00:00+02:00", "2026-06-01", "start"),
        ('prices = "prices.csv"', "", "prices"),
        ("capacity_w = 16000", "capacity_w = -1", "group[0].capacity_w"),
        ("capacity_w = 16000", "capacity_w = 16000.0", "group[0].capacity_w"),
        ("capacity_w = 16000", "capacity_w = true", "group[0].capacity_w"),
        ("capacity_w = 16000", 'capacity_w = "16 kW"', "group[0].capacity_w"),
        ("capacity_w = 16000", 'capacity_w = 16000\nfirst_day = "full"', "group[0].first_day"),
        ('id = "CP-1"', 'id = "CP/1"', "group[0].station[0].id"),
        ('id = "CP-1"', "", "group[0].station[0].id"),
        ('vendor = "evmesh"', "", "group[0].station[0].vendor"),
        ("number = 1", "number = 0", "group[0].station[0].connector[0].number"),
        ("NL*EVM*E1", "E1", "group[0].station[0].connector[0].evse_id"),
        ("rating_w = 7360", "rating_w = 0", "group[0].station[0].connector[0].rating_w"),
        ("phases = 1", "phases = 0", "group[0].station[0].connector[0].phases"),
        ("phases = 1", "phases = 2", "group[0].station[0].connector[0].phases"),
        ("phases = 1", "phases = 4", "group[0].station[0].connector[0].phases"),
        ("max_current_ma = 32000", "max_current_ma = 32", "group[0].station[0].connector[0].max_current_ma"),
        ("-33500000", "-90000001", "group[0].station[0].connector[0].latitude_udeg"),
        ("-33500000", "90000001", "group[0].station[0].connector[0].latitude_udeg"),
        ("-70600000", "180000001", "group[0].station[0].connector[0].longitude_udeg"),
        ("-70600000", "-70.6", "group[0].station[0].connector[0].longitude_udeg"),
        ("price = 350000", "price = -1", "group[0].station[0].connector[0].price"),
        ("price = 350000", "", "group[0].station[0].connector[0].price"),
        (CONNECTOR, "", "group[0].station[0].connector"),
        (CONNECTOR, "connector = 5", "group[0].station[0].connector"),
        (CONNECTOR, 'connector = ["bay-1"]', "group[0].station[0].connector[0]"),
        (SITE[SITE.index("[[group]]") :], "", "group"),
        (SITE[SITE.index("[[group]]") :], "group = []", "group"),
        (SITE[SITE.index("[[group]]") :], "group = [7]", "group[0]"),
        (SITE[SITE.index("[[group]]") :], '[group]\nname = "x"', "group"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, path: str) -> None:
    assert old in SITE
    with pytest.raises(InvalidInput) as refused:
        load_site(write(tmp_path, SITE.replace(old, new, 1)))
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"bay-1"', '"bay-1"'),
        ('"NL*EVM*E1"', '"nl*evm*e1"'),
    ],
)
def test_what_stands_twice_is_refused(tmp_path: Path, old: str, new: str) -> None:
    second = CONNECTOR.replace("number = 1", "number = 2")
    for unique in ('"bay-1"', '"NL*EVM*E1"'):
        if unique != old:
            second = second.replace(unique, unique[:-1] + '2"')
    with pytest.raises(InvalidInput, match=r"site\.duplicate"):
        load_site(write(tmp_path, SITE + second.replace(old, new)))
    with pytest.raises(InvalidInput, match=r"site\.duplicate"):
        load_site(write(tmp_path, SITE + CONNECTOR.replace("bay-1", "bay-2").replace("*E1", "*E2")))


def test_a_file_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"site\.not_found"):
        load_site(tmp_path / "nowhere.toml")
    with pytest.raises(InvalidInput, match=r"site\.not_toml"):
        load_site(write(tmp_path, "name = "))
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(InvalidInput, match=r"site\.not_toml"):
        load_site(tmp_path / "latin.toml")
    with pytest.raises(InvalidInput):
        load_site(tmp_path)  # a directory


ZONE = ZoneInfo("Europe/Amsterdam")


def prices(tmp_path: Path, text: str) -> Tariff:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    return load_tariff(path, ZONE)


def test_prices_are_exact_micro_currency_by_the_local_hour(tmp_path: Path) -> None:
    tariff = prices(tmp_path, "hour,price\n2026-06-01T00:00,77.355\n2026-06-01T01:00,-0.001\n")
    assert tariff.by_hour == (77_355, -1)
    assert tariff.price_at(datetime(2026, 5, 31, 22, 59, tzinfo=UTC)) == 77_355
    assert tariff.price_at(datetime(2026, 5, 31, 23, 0, tzinfo=UTC)) == -1


def test_a_header_is_optional(tmp_path: Path) -> None:
    assert prices(tmp_path, "2026-06-01T00:00,1\n").by_hour == (1_000,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hour,price\n",
        "hour,price\nyesterday,5\n",
        "hour,price\n2026-06-01T00:00\n",
        "hour,price\n2026-06-01T00:00,cheap\n",
        "hour,price\n2026-06-01T00:00,NaN\n",
        "hour,price\n2026-06-01T00:00,Infinity\n",
        "hour,price\n\n",
        "\n",
    ],
)
def test_prices_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        prices(tmp_path, text)
    assert (refused.value.code, refused.value.path) == ("site.bad_prices", "prices")


def test_prices_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"site\.not_found"):
        load_tariff(tmp_path / "none.csv", ZONE)


@pytest.mark.parametrize("hours", [168, 170, 335, 336, 500])
def test_a_tariff_repeats_in_whole_weeks_so_that_weekdays_stay_weekdays(hours: int) -> None:
    first = datetime(2026, 6, 1, tzinfo=UTC)
    tariff = Tariff(first, tuple(Price(hour) for hour in range(hours)))
    weeks = timedelta(weeks=hours // 168)
    for hour in (0, 1, 100, 167):
        at = first + timedelta(hours=hour, minutes=59)
        assert tariff.price_at(at) == hour
        assert tariff.price_at(at + 3 * weeks) == tariff.price_at(at - weeks) == hour


def test_less_than_a_week_repeats_as_it_is() -> None:
    first = datetime(2026, 6, 1, tzinfo=UTC)
    tariff = Tariff(first, (Price(1), Price(2), Price(3)))
    assert [tariff.price_at(first + timedelta(hours=hour)) for hour in range(-1, 5)] == [3, 1, 2, 3, 1, 2]


WIRED = SITE.replace(
    "capacity_w = 16000",
    """capacity_w = 16000
other_w = 500
floor_w = 4200

[[group.part]]
name = "feeder"
capacity_w = 12000

[[group.part]]
name = "kiosk"
inside = "feeder"
capacity_w = 9000
fuse_ma = 25000""",
).replace('id = "CP-1"', 'id = "CP-1"\npart = "kiosk"')


def wired(directory: Path, old: str = "", new: str = "", lines: str = "lines = [2]\n") -> Path:
    text = WIRED.replace("phases = 1\n", f"phases = 1\n{lines}")
    assert old in text
    return write(directory, text.replace(old, new, 1))


def test_parts_fuses_lines_and_floors_are_read(tmp_path: Path) -> None:
    (group,) = load_site(wired(tmp_path)).groups
    wiring = group.wiring
    assert [(one.name, one.parent, one.capacity, one.per_line) for one in wiring.parts] == [
        ("feeder", "", 12_000, None),
        ("kiosk", "feeder", 9_000, 25_000),
    ]
    assert (wiring.other, wiring.floor, wiring.floor_in_all(2)) == (500, 4_200, 7_560)
    station = group.stations[0]
    assert station.part == "kiosk"
    assert station.connectors[0][1].lines == (2,)
    each = load_site(wired(tmp_path, "floor_w = 4200", 'floor_w = 4200\nfloor_rule = "each"')).groups[0]
    assert each.wiring.floor_in_all(2) == 8_400


def test_fuses_stand_at_any_level_and_each_outlet_below_one_says_which_line_it_loads(tmp_path: Path) -> None:
    feeder = ("capacity_w = 12000", "capacity_w = 12000\nfuse_ma = 63000")
    (group,) = load_site(wired(tmp_path, *feeder)).groups
    assert [one.per_line for one in group.wiring.parts] == [63_000, 25_000]
    unfused = WIRED.replace("fuse_ma = 25000", "")
    for part in ("feeder", "kiosk"):
        at = unfused.replace(*feeder).replace('part = "kiosk"', f'part = "{part}"')
        with pytest.raises(InvalidInput) as caught:
            load_site(write(tmp_path, at))
        assert caught.value.path == "group[0].station[0].connector[0].lines"
    assert load_site(write(tmp_path, unfused)).groups


@pytest.mark.parametrize(
    ("old", "new", "lines", "path"),
    [
        ('inside = "feeder"', 'inside = "nowhere"', "lines = [2]\n", "group[0].part[1].inside"),
        ('name = "kiosk"', 'name = "feeder"', "lines = [2]\n", "group[0].part[1].name"),
        ('name = "kiosk"', 'name = "a/b"', "lines = [2]\n", "group[0].part[1].name"),
        ('part = "kiosk"', 'part = "attic"', "lines = [2]\n", "group[0].station[0].part"),
        ("fuse_ma = 25000", "fuse_ma = 0", "lines = [2]\n", "group[0].part[1].fuse_ma"),
        ("floor_w = 4200", 'floor_w = 4200\nfloor_rule = "none"', "lines = [2]\n", "group[0].floor_rule"),
        ("", "", "", "group[0].station[0].connector[0].lines"),
        ("", "", "lines = [4]\n", "group[0].station[0].connector[0].lines"),
        ("", "", "lines = [1, 2]\n", "group[0].station[0].connector[0].lines"),
        ("", "", 'lines = "L1"\n', "group[0].station[0].connector[0].lines"),
    ],
)
def test_wiring_that_cannot_be_is_refused_with_its_path(
    tmp_path: Path, old: str, new: str, lines: str, path: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_site(wired(tmp_path, old, new, lines))
    assert caught.value.path == path
