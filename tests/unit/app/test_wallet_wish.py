"""What a driver types for a charge: energy, money or a time, and until when; the rest is refused in words."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from evmesh.app.wallet_wish import Wish, parse_duration, parse_energy, parse_wish, time_words
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price, cost_of
from evmesh.domain.sessions import Way
from evmesh.domain.units import W, Wh

NOW = datetime(2026, 6, 1, 8, 7, tzinfo=UTC)
PRICE = Price(350_000)
RATING = W(7_360)
HERE = ZoneInfo("Europe/Amsterdam")


def wish(
    energy: str | None = None, money: str | None = None, time: str | None = None, until: str | None = None
) -> Wish:
    return parse_wish(energy, money, time, until, asap=False, way=Way.PREPAID)


@pytest.mark.parametrize(
    ("text", "wh"),
    [("12kWh", 12_000), ("7.5 kwh", 7_500), ("800Wh", 800), ("0.001kWh", 1), ("1.500kWh", 1_500)],
)
def test_energy_is_read_to_the_wh(text: str, wh: int) -> None:
    assert parse_energy(text) == wh


@pytest.mark.parametrize(("text", "minutes"), [("90min", 90), ("2h", 120), ("1h30min", 90), ("1H 5MIN", 65)])
def test_a_length_of_time_is_read(text: str, minutes: int) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({}, "wish.not_one"),
        ({"energy": "1kWh", "money": "1"}, "wish.not_one"),
        ({"energy": "-1kWh"}, "wish.negative"),
        ({"energy": "1.0001kWh"}, "wish.too_many_decimals"),
        ({"energy": "1.5Wh"}, "wish.too_many_decimals"),
        ({"energy": "0kWh"}, "wish.too_little"),
        ({"energy": "9999999999kWh"}, "wish.too_much"),
        ({"energy": "much"}, "wish.bad_energy"),
        ({"money": "-1"}, "money.negative"),
        ({"money": "1.0000001"}, "money.too_many_decimals"),
        ({"money": "79228162514264337593543.950336"}, "money.out_of_range"),
        ({"time": "soon"}, "wish.bad_time"),
        ({"time": "-5min"}, "wish.negative"),
        ({"time": "0min"}, "wish.too_little"),
        ({"time": "200h"}, "wish.too_much"),
    ],
)
def test_what_cannot_be_wished_is_refused(words: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        wish(**words)
    assert refused.value.code == code
    assert refused.value.what


def test_money_buys_the_most_energy_that_it_pays_for() -> None:
    energy = wish(money="5.00").energy_at(PRICE, RATING)
    assert cost_of(energy, PRICE) <= 5_000_000 < cost_of(Wh(energy + 1), PRICE)


def test_a_time_is_what_the_outlet_can_give_in_it() -> None:
    assert wish(time="90min").energy_at(PRICE, RATING) == 11_040


def test_money_buys_nothing_where_energy_is_free() -> None:
    with pytest.raises(InvalidInput, match=r"wish\.free"):
        wish(money="1").energy_at(Price(0), RATING)


@pytest.mark.parametrize("machine", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_a_departure_is_the_next_such_hour_on_the_stations_clock(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """08:07 UTC is 10:07 in Amsterdam, wherever the wallet is."""
    monkeypatch.setenv("TZ", machine)
    time.tzset()
    try:
        at = wish(energy="1kWh", until="18:30").departure(NOW, Wh(1_000), RATING, HERE)
        past = wish(energy="1kWh", until="10:07").departure(NOW, Wh(1_000), RATING, HERE)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert at == datetime(2026, 6, 1, 16, 30, tzinfo=UTC)
    assert past == datetime(2026, 6, 2, 8, 7, tzinfo=UTC)
    assert time_words(at, HERE) == "Mon 18:30 (Europe/Amsterdam)"


def test_a_departure_on_the_day_when_clocks_change_is_the_hour_that_they_show() -> None:
    evening = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # 22:00 in Amsterdam; clocks go back that night
    at = wish(energy="1kWh", until="21:30").departure(evening, Wh(1_000), RATING, HERE)
    assert at == datetime(2026, 10, 25, 20, 30, tzinfo=UTC)


def test_an_exact_departure_is_taken_as_it_is() -> None:
    exact = wish(energy="1kWh", until="2026-06-01T18:30:00+02:00").departure(NOW, Wh(1_000), RATING, HERE)
    assert exact == datetime(2026, 6, 1, 16, 30, tzinfo=UTC)


def test_a_transfer_carries_no_departure() -> None:
    with pytest.raises(InvalidInput, match=r"wish\.no_departure"):
        parse_wish("1kWh", None, None, "18:30", asap=False, way=Way.TRANSFER)
    plain = parse_wish("1kWh", None, None, None, asap=False, way=Way.TRANSFER)
    assert plain.departure(NOW, Wh(1_000), RATING, HERE) == NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("until", "code"),
    [
        ("tomorrow", "wish.bad_until"),
        ("2026-06-01T18:30:00", "wish.bad_until"),
        ("25:00", "wish.bad_until"),
        ("2020-01-01T00:00:00Z", "wish.past"),
        ("2026-06-20T00:00:00Z", "wish.too_late"),
    ],
)
def test_a_departure_that_cannot_be_is_refused(until: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        wish(energy="1kWh", until=until).departure(NOW, Wh(1_000), RATING, HERE)
    assert refused.value.code == code


def test_without_a_word_there_is_time_enough_for_the_energy() -> None:
    at = wish(energy="20kWh").departure(NOW, Wh(20_000), RATING, HERE)
    assert at - NOW >= timedelta(hours=2 * 20_000 / RATING)
    assert at.minute % 15 == 0
    assert wish(time="90min").departure(NOW, Wh(1), RATING, HERE) == NOW + timedelta(minutes=90)
