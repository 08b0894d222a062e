from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.sessions import Way
from evmesh.sim.visits import Money, itinerary, parse_visits

ZONE = ZoneInfo("Europe/Amsterdam")
HEADER = "driver,connector,arrival,stated_departure,departure,requested_wh,delivered_wh\n"
MONDAY_ROW = "driver-01,CA-303,2026-06-01T08:31:00,2026-06-01T16:00:00,2026-06-01T15:00:00,21910,16734\n"
SUNDAY_ROW = "driver-02,CA-305,2026-06-07T23:00:00,2026-06-08T06:00:00,2026-06-08T07:00:00,8000,4000\n"


def test_a_row_becomes_a_visit_in_the_sites_own_time() -> None:
    (visit,) = parse_visits(HEADER + MONDAY_ROW, ZONE)
    assert visit.arrival.astimezone(UTC) == datetime(2026, 6, 1, 6, 31, tzinfo=UTC)
    assert (visit.requested, visit.need, visit.max_power) == (21_910, 16_734, 7_360)
    assert visit.key == "driver-01@2026-06-01T06:31:00Z"


def test_the_power_of_the_car_is_read_where_the_file_knows_it() -> None:
    text = HEADER.strip() + ",max_power_w\n" + MONDAY_ROW.strip() + ",3680\n"
    assert parse_visits(text, ZONE)[0].max_power == 3_680


def test_how_and_in_what_a_driver_pays_is_read_where_the_file_says_so() -> None:
    (plain,) = parse_visits(HEADER + MONDAY_ROW, ZONE)
    assert (plain.way, plain.money) == (Way.PREPAID, Money.TOKEN)
    header, row = HEADER.strip() + ",way,money\n", MONDAY_ROW.strip()
    (visit,) = parse_visits(f"{header}{row},streaming,flex\n", ZONE)
    assert (visit.way, visit.money, visit.weeks_later(1).money) == (Way.STREAMING, Money.FLEX, Money.FLEX)
    for wrong in (",gold", "transfer,flex"):
        with pytest.raises(InvalidInput) as refused:
            parse_visits(f"{header}{row},{wrong}\n", ZONE)
        assert (refused.value.code, refused.value.path) == ("sessions.bad_money", "row 2, money")


def test_visits_come_in_order_of_arrival() -> None:
    visits = parse_visits(HEADER + SUNDAY_ROW + MONDAY_ROW, ZONE)
    assert [visit.driver for visit in visits] == ["driver-01", "driver-02"]


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("driver,arrival\n", "sessions.missing_column", "connector"),
        (HEADER + MONDAY_ROW.replace("T08:31:00", "T08:31:00Z"), "sessions.bad_time", "row 2, arrival"),
        (HEADER + MONDAY_ROW.replace("T08:31:00", " at eight"), "sessions.bad_time", "row 2, arrival"),
        (HEADER + MONDAY_ROW.replace("21910", "21.9"), "sessions.bad_number", "row 2, requested_wh"),
        (HEADER + MONDAY_ROW.replace("16734", "0"), "sessions.bad_number", "row 2, delivered_wh"),
        (HEADER + MONDAY_ROW.replace("driver-01", " "), "sessions.empty", "row 2, driver"),
        (HEADER + MONDAY_ROW.replace("15:00", "08:00"), "sessions.leaves_before_arrival", "row 2"),
        (HEADER + "driver-01,CA-303\n", "sessions.bad_time", "row 2, arrival"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_of_the_mistake(text: str, code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_visits(text, ZONE)
    assert (error.value.code, error.value.path) == (code, path)


def test_the_week_repeats_for_ever_at_the_same_hour() -> None:
    visits = parse_visits(HEADER + MONDAY_ROW + SUNDAY_ROW, ZONE)
    coming = list(islice(itinerary(visits, visits[0].arrival), 6))
    assert [visit.driver for visit in coming] == ["driver-01", "driver-02"] * 3
    assert coming[2].arrival - coming[0].arrival == timedelta(weeks=1)
    assert len({visit.key for visit in coming}) == 6


def test_summer_time_moves_no_hour_on_the_wall() -> None:
    visits = parse_visits(HEADER + MONDAY_ROW, ZONE)
    winter = next(itinerary(visits, datetime(2026, 11, 2, tzinfo=UTC)))
    assert (winter.arrival.hour, winter.arrival.astimezone(UTC).hour) == (8, 7)


def test_nobody_comes_before_the_file_begins_and_nobody_twice() -> None:
    visits = parse_visits(HEADER + MONDAY_ROW, ZONE)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert next(itinerary(visits, long_ago)) == visits[0]
    after = next(itinerary(visits, visits[0].arrival + timedelta(seconds=1)))
    assert after.arrival == visits[0].arrival + timedelta(weeks=1)


def test_a_site_without_visits_has_an_empty_itinerary() -> None:
    assert list(itinerary((), datetime(2026, 6, 1, tzinfo=UTC))) == []
