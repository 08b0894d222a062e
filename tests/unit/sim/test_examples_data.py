"""The demo site's files fit each other."""

import tomllib
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evmesh.app.config import load_site
from evmesh.domain.sessions import Way
from evmesh.sim.visits import Visit, parse_visits

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SITE = tomllib.loads((EXAMPLES / "site.toml").read_text())


STATIONS = [station for group in SITE["group"] for station in group["station"]]


def visits(key: str = "sessions") -> tuple[Visit, ...]:
    return parse_visits((EXAMPLES / SITE[key]).read_text(), ZoneInfo(SITE["time_zone"]))


def names(kind: str) -> set[str]:
    """Give the places at stations of a kind; a charger that is only looked at is one itself."""
    of_kind = [station for station in STATIONS if station.get("kind", "ocpp") == kind]
    return {place.get("name", place.get("id")) for one in of_kind for place in one.get("connector", [one])}


def test_every_visit_is_to_a_connector_of_the_site() -> None:
    assert len(names("ocpp")) == 12
    assert {visit.connector for visit in visits()} == names("ocpp")


@pytest.mark.parametrize("site", ["site.toml", "demo.toml"])
def test_both_sites_have_a_station_from_parts_and_a_mennekes_that_are_used(site: str) -> None:
    stations = [one for group in load_site(EXAMPLES / site).groups for one in group.stations]
    [from_parts] = [one for one in stations if one.made_of is not None]
    [(name, _)] = from_parts.connectors
    [charger] = load_site(EXAMPLES / site).observed()
    assert {visit.connector for visit in visits("more_sessions")} == {name, charger.name}
    assert len([one for one in stations if one.made_of is None]) >= 3


def test_the_site_begins_before_its_first_visit_on_a_monday() -> None:
    first = visits()[0]
    assert first.arrival.weekday() == SITE["start"].weekday() == 0
    assert SITE["start"] < first.arrival < SITE["start"].replace(hour=8)


def test_visits_are_paid_in_all_three_ways_and_most_are_prepaid() -> None:
    ways = Counter(visit.way for visit in visits())
    assert set(ways) == set(Way)
    assert ways[Way.PREPAID] > ways[Way.STREAMING] > ways[Way.TRANSFER] > 5


def test_no_driver_is_in_two_places() -> None:
    by_driver: dict[str, list[Visit]] = {}
    for visit in (*visits(), *visits("more_sessions")):
        by_driver.setdefault(visit.driver, []).append(visit)
    for own in by_driver.values():
        for before, after in zip(own, [*own[1:], own[0].weeks_later(1)], strict=True):
            assert before.departure < after.arrival


def test_the_first_morning_asks_for_more_than_the_cabinet_has() -> None:
    morning = [
        visit
        for visit in visits()
        if visit.arrival.day == 1 and visit.arrival.hour < 10 and visit.connector < "CA-4"
    ]
    until = max(visit.stated_departure for visit in morning)
    hours = int((until - morning[0].arrival).total_seconds()) // 3600 + 1
    assert sum(visit.requested for visit in morning) > SITE["group"][0]["capacity_w"] * hours
