from pathlib import Path

import pytest

from scripts import make_examples

SESSIONS = """\
site,arrival,departure,requested_kWh,delivered_kWh,station_id,estimated_departure,claimed
caltech,2019-06-03 09:00:00-07:00,2019-06-03 17:00:00-07:00,8.19,2.4,CA-305,2019-06-03 16:00:00-07:00,True
caltech,2019-06-03 08:31:35-07:00,2019-06-03 16:20:35-07:00,21.91,16.734,CA-303,2019-06-03 16:01:35-07:00,True
caltech,2019-06-03 18:00:00-07:00,2019-06-03 19:00:00-07:00,1,1,CA-303,2019-06-03 19:00:00-07:00,True
caltech,2019-06-03 19:30:00-07:00,2019-06-03 20:00:00-07:00,1,1,CA-303,2019-06-03 19:45:00-07:00,True
caltech,2019-06-03 10:00:00-07:00,2019-06-03 17:00:00-07:00,8,2,CA-303,2019-06-03 16:00:00-07:00,False
caltech,2019-06-03 10:00:00-07:00,2019-06-03 17:00:00-07:00,8,2,CA-999,2019-06-03 16:00:00-07:00,True
"""
PRICES = """\
2023-06-04 23:00:00,50.0
2023-06-05 00:00:00,84.15
2023-06-05 01:00:00,-3
2023-07-31 00:00:00,1
"""


def cut(tmp_path: Path, sessions: str = SESSIONS, prices: str = PRICES) -> tuple[list[str], list[str]]:
    (tmp_path / "s.csv").write_text(sessions)
    (tmp_path / "p.csv").write_text(prices)
    make_examples.main([str(tmp_path / "s.csv"), str(tmp_path / "p.csv"), "--out", str(tmp_path)])
    return (
        (tmp_path / "sessions.csv").read_text().splitlines(),
        (tmp_path / "prices.csv").read_text().splitlines(),
    )


def test_only_stated_visits_of_the_sites_connectors_stay_at_the_same_hour_of_the_same_weekday(
    tmp_path: Path,
) -> None:
    visits, _ = cut(tmp_path)
    assert visits[1:] == [
        "driver-01,CA-303,2026-06-01T08:31:35,2026-06-01T16:01:35,2026-06-01T16:20:35,21910,16734,prepaid",
        "driver-02,CA-305,2026-06-01T09:00:00,2026-06-01T16:00:00,2026-06-01T17:00:00,8190,2400,prepaid",
        "driver-03,CA-303,2026-06-01T18:00:00,2026-06-01T19:00:00,2026-06-01T19:00:00,1000,1000,streaming",
        "driver-01,CA-303,2026-06-01T19:30:00,2026-06-01T19:45:00,2026-06-01T20:00:00,1000,1000,transfer",
    ]


def test_prices_keep_their_hour_and_their_sign_and_lie_in_whole_weeks(tmp_path: Path) -> None:
    _, prices = cut(tmp_path)
    assert prices == ["start,eur_per_mwh", "2026-06-01T00:00:00,84.15", "2026-06-01T01:00:00,-3"]


def test_a_number_that_is_not_whole_in_our_units_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than three decimals"):
        cut(tmp_path, sessions=SESSIONS.replace("21.91,", "21.9101,"))
    with pytest.raises(ValueError, match="more than three decimals"):
        cut(tmp_path, prices=PRICES.replace("84.15", "84.1501"))
