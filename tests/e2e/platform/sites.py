"""Sites for tests of the whole platform, as an operator would write them."""

from pathlib import Path


def one_connector(name: str, station: str, vendor: str, model: str, *, at: str, zone: str, start: str) -> str:
    """Give the text of a site with one station, whose one connector is called `at`."""
    return f"""
name = "{name}"
time_zone = "{zone}"
start = {start}
prices = "prices.csv"

[[group]]
name = "cabinet"
capacity_w = 20000

[[group.station]]
id = "{station}"
vendor = "{vendor}"
model = "{model}"
serial = "1"
{connector(at)}"""


def connector(name: str, number: int = 1) -> str:
    """Give the text of a station's connector: one phase, 32 A, 0.35 a kWh."""
    return f"""
[[group.station.connector]]
number = {number}
name = "{name}"
evse_id = "NL*EVM*E{name.replace("-", "")}"
rating_w = 7360
phases = 1
max_current_ma = 32000
latitude_udeg = 52000000
longitude_udeg = 4000000
price = 350000
"""


def write_site(directory: Path, text: str, visits: str = "") -> Path:
    """Write a site with prices that rise from hour to hour, and its visits; gives the site file."""
    (directory / "site.toml").write_text(text)
    hours = "\n".join(f"2026-06-01T{hour:02}:00:00,{50 + hour}" for hour in range(24))
    (directory / "prices.csv").write_text(hours + "\n")
    if visits:
        (directory / "sessions.csv").write_text(visits)
    return directory / "site.toml"
