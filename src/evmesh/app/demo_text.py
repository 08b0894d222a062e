"""The demo's evidence for people: every number with its unit."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from evmesh.domain.money import format_units

Json = dict[str, Any]
CURRENCY: Final = "EUR"


def evidence_lines(evidence: Json) -> list[str]:
    """Give one line per fact, as `name: value unit`."""
    return [f"{key}: {_value(key, value)}" for key, value in evidence.items()]


def session_line(now: str, session: Json) -> str:
    """Give where a session is, as it passes."""
    where = f"{session['charge_point']}/{session['connector']}"
    energy = f"{session['delivered_wh']:,} of {session['energy_wh']:,} Wh"
    return f"{now[11:16]} UTC  {where:<14} {session['state']:<10} {energy}"


def _value(key: str, value: Any) -> str:
    written = next((write for ending, write in _WRITERS.items() if key.endswith(ending)), None)
    if value is None:
        return "none"
    if written is not None:
        return written(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _quantity(unit: str) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        numbers = value if isinstance(value, list) else [value]
        return f"{' '.join(f'{number:,}' for number in numbers)} {unit}"

    return write


def _price(value: Any) -> str:
    prices = value if isinstance(value, list) else [value]
    return f"{' '.join(format_units(int(price)) for price in prices)} {CURRENCY} per kWh"


def _money(value: Any) -> str:
    return f"{format_units(int(value))} {CURRENCY}"


def _thousandths(value: Any) -> str:
    """Write a sum of Wh × price, undivided: thousandths of a token unit."""
    return _money(int(value) // 1000)


def _degrees(value: Any) -> str:
    return f"{format_units(value)}°"


def _refused(value: Json) -> str:
    offers = ", or ".join(_until(offer) for offer in value["offers"])
    return f"{_until(value)} at {value['code']}, {value['deficit_wh']:,} Wh too much; offered: {offers}"


def _until(wish: Json) -> str:
    return f"{wish['energy_wh']:,} Wh until {datetime.fromisoformat(wish['departure']):%Y-%m-%d %H:%M} UTC"


def _samples(value: list[Json]) -> str:
    return "; ".join(
        f"{one['power_w']:,} of {one['limit_w'] or 0:,} W, {one['delivered_wh']:,} Wh, "
        f"{_money(one['cost'])}, {one['reason']}"
        for one in value
    )


def _topics(value: Json) -> str:
    units = {
        "PowerOutput": " W",
        "TotalEnergyConsumption": " Wh",
        "SessionEnergy": " Wh",
        "StateOfCharge": " %",
        "MaximumOutputCurrent": " mA",
    }
    written = {name: "none" if one is None else f"{one}{units.get(name, '')}" for name, one in value.items()}
    return ", ".join(f"{name} {one}" for name, one in written.items())


_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "_wh": _quantity("Wh"),
    "_w": _quantity("W"),
    "lambda": _price,
    "price": _price,
    "latitude_udeg": _degrees,
    "longitude_udeg": _degrees,
    "budget": _money,
    "voucher": _money,
    "ceiling": _money,
    "cost": _money,
    "due": _money,
    "left_with_the_driver": _money,
    "reward": _money,
    "value": _thousandths,
    "avoided": _thousandths,
    "cars": _quantity("cars"),
    "cars_in_a_plan": _quantity("cars"),
    "plans_checked": _quantity("plans"),
    "transactions_sent_by_the_driver": _quantity("transactions"),
    "registered": _quantity("assets"),
    "size": _quantity("leaves"),
    "times_seen": _quantity("times"),
    "refused": _refused,
    "samples": _samples,
    "topics": _topics,
}
"""How a fact is written, by the end of its name; the first that fits counts."""
