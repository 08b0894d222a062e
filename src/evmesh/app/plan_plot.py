"""A plan as one SVG: load against supply by price, λ, and a band per request.

The same bytes for the same plan. No library, and no script in it; 1,200 pixels wide, light or dark as the
reader's screen is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from evmesh.app.plan_drawing import HATCH, LEFT, RIGHT, STYLE, WIDTH, Across, Up, area, line, runs, text
from evmesh.app.plan_words import many
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Refusal, Schedule, ScheduleRow
from evmesh.domain.strict import write_instant

MOST_BANDS: Final = 30
MOST_PRICES: Final = 5

_LOAD_TOP, _LOAD_HEIGHT, _PRICE_HEIGHT = 122, 240, 120
_BAND, _BAND_GAP = 16, 6
_LEGEND_TOP = 62


def plot_svg(problem: Problem, answer: Schedule | Refusal, batteries: frozenset[str] = frozenset()) -> bytes:
    """Draw a schedule; for a refusal what is wanted, and which steps are too small for it.

    `batteries` have bands, as requests have, and are not counted as such.
    """
    across = Across(problem.grid)
    parts, bottom = _load_panel(problem, answer, across)
    if isinstance(answer, Schedule):
        more, bottom = _price_panel(problem, answer, across, bottom + 40)
        parts += more
    parts += across.times(bottom + 20)
    top = bottom + 84
    what = ", and how fast it charges" if isinstance(answer, Schedule) else ""
    parts.append(text(LEFT, top - 14, f"Requests: when each is there{what}", "head"))
    bands = _bands(problem, answer if isinstance(answer, Schedule) else None)
    for number, band in enumerate(bands):
        parts += _band(band, across, top + number * (_BAND + _BAND_GAP))
    return _svg([*_title(problem, answer, batteries), *parts], top + len(bands) * (_BAND + _BAND_GAP) + 16)


def _svg(parts: list[str], height: int) -> bytes:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="Charging plan">'
    )
    ground = f'<rect class="ground" width="{WIDTH}" height="{height}"/>'
    drawn = [part for part in parts if part]
    return "\n".join([head, f"<style>{STYLE}</style>", HATCH, ground, *drawn, "</svg>", ""]).encode()


def _title(problem: Problem, answer: Schedule | Refusal, batteries: frozenset[str]) -> list[str]:
    cars = [one for one in problem.requests if one.id not in batteries]
    energy_wh = sum(one.energy_wh for one in cars)
    begin, end = write_instant(problem.grid.start), write_instant(problem.grid.end)
    facts = f"{many(len(cars), 'request')}, {energy_wh:,} Wh, {begin} to {end}"
    if isinstance(answer, Schedule):
        return [
            text(24, 32, "Charging plan of least cost", "head big"),
            text(WIDTH - 24, 32, facts, "end soft"),
        ]
    short = f"Refused: {answer.deficit_wh:,} Wh too much"
    return [text(24, 32, short, "head big"), text(WIDTH - 24, 32, facts, "end soft")]


def _load_panel(problem: Problem, answer: Schedule | Refusal, across: Across) -> tuple[list[str], int]:
    capacities = problem.capacities()
    loads = answer.loads() if isinstance(answer, Schedule) else []
    most = max(capacities, default=0)
    if any(loads):
        most = min(most, 2 * max(loads))  # supply far above every load would flatten it
    up = Up(_LOAD_TOP, _LOAD_HEIGHT, 0, max(1, most))
    bottom = _LOAD_TOP + _LOAD_HEIGHT
    beyond = f"; supply above {most:,} Wh is not drawn" if most < max(capacities, default=0) else ""
    parts = [text(LEFT, _LOAD_TOP - 14, f"Load and supply, Wh a step{beyond}", "head")]
    parts += [*_supply(problem, across, up), *across.rules(_LOAD_TOP, bottom), *up.scale()]
    if isinstance(answer, Refusal):
        named = set(answer.steps)
        for first, end, short in runs([step in named for step in range(problem.steps)]):
            if short:
                parts.append(across.rect(first, end, _LOAD_TOP, _LOAD_HEIGHT, "short"))
        parts += _key(RIGHT + 20, _LOAD_TOP + 40, "short", "too small", filled=True)
    parts.append(line(capacities, across, up, "capacity"))
    parts += _key(RIGHT + 20, _LOAD_TOP + 16, "capacity", "capacity")
    if loads:
        parts.append(line(loads, across, up, "load"))
        parts += _key(RIGHT + 20, _LOAD_TOP + 40, "load", "load")
    return parts, bottom


def _supply(problem: Problem, across: Across, up: Up) -> list[str]:
    """Stack the supply by price, cheapest below, in at most MOST_PRICES colours; with their legend."""
    prices = sorted({one.price for one in problem.supply if one.cap_wh})
    colour_of = _colours(prices)
    colours = min(MOST_PRICES, len(prices))
    held = [[0] * problem.steps for _ in range(colours)]
    for one in problem.supply:
        if one.cap_wh:
            held[colour_of[one.price]][one.step] += one.cap_wh
    below = [0] * problem.steps
    parts = [text(LEFT - 10, _LEGEND_TOP + 12, "supply at", "end soft")]
    for colour in range(colours):
        above = [low + more for low, more in zip(below, held[colour], strict=True)]
        parts.append(area(list(zip(below, above, strict=True)), across, up, f"p{colour}"))
        below = above
        mine = [price for price in prices if colour_of[price] == colour]
        label = f"{mine[0]:,}" if len(mine) == 1 else f"{mine[0]:,} to {mine[-1]:,}"
        parts += _key(LEFT + 165 * colour, _LEGEND_TOP + 7, f"p{colour}", label, filled=True)
    return [*parts, text(RIGHT + 20, _LEGEND_TOP + 12, "µ-currency/kWh", "soft")]


def _colours(prices: Sequence[int]) -> dict[int, int]:
    """Give neighbouring prices one colour: ascending prices are cut at their widest gaps."""
    widest = sorted(range(1, len(prices)), key=lambda at: (prices[at - 1] - prices[at], at))
    cuts = set(widest[: MOST_PRICES - 1])
    colours, colour = {}, 0
    for at, price in enumerate(prices):
        colour += at in cuts
        colours[price] = colour
    return colours


def _key(x: int, middle: int, kind: str, label: str, *, filled: bool = False) -> list[str]:
    """Draw one entry of a legend."""
    if filled:
        sample = f'<rect class="{kind}" x="{x}" y="{middle - 7}" width="14" height="14"/>'
    else:
        sample = f'<path class="{kind}" d="M{x} {middle}h14"/>'
    return [sample, text(x + 20, middle + 5, label)]


def _price_panel(problem: Problem, schedule: Schedule, across: Across, top: int) -> tuple[list[str], int]:
    paid = [
        _dearest_used(load, segments)
        for load, segments in zip(schedule.loads(), problem.segments_by_step(), strict=True)
    ]
    shown = [*schedule.step_price, *(price for price in paid if price is not None), 0]
    room = max(1, (max(shown) - min(shown)) // 12)
    up = Up(top, _PRICE_HEIGHT, min(shown) - (room if min(shown) else 0), max(shown) + room)
    bottom = top + _PRICE_HEIGHT
    parts = [
        text(LEFT, top - 14, "Price, micro-currency/kWh", "head"),
        *across.rules(top, bottom),
        *up.scale(),
    ]
    parts += [line(paid, across, up, "paid"), line(schedule.step_price, across, up, "lambda")]
    parts += _key(RIGHT + 20, top + 16, "paid", "dearest used")
    return [*parts, *_key(RIGHT + 20, top + 40, "lambda", "λ")], bottom


def _dearest_used(load_wh: int, cheapest_first: list[SupplySegment]) -> int | None:
    dearest = None
    for segment in cheapest_first:
        if load_wh > 0 and segment.cap_wh:
            dearest = segment.price
        load_wh -= segment.cap_wh
    return dearest


@dataclass(frozen=True, slots=True)
class _Band:
    """A request, or many together: `wh` of at most `most_wh` in each step of [first, end)."""

    name: str
    energy_wh: int
    first: int
    end: int
    wh: Sequence[int]
    most_wh: int


def _bands(problem: Problem, schedule: Schedule | None) -> list[_Band]:
    """Give the requests with most energy a band each, in order of arrival, and all others one together."""
    ranked = sorted(problem.requests, key=lambda one: (-one.energy_wh, one.id))
    kept, rest = ranked[:MOST_BANDS], ranked[MOST_BANDS:]
    kept.sort(key=lambda one: (one.arrival, one.departure, one.id))
    rows = {row.id: row for row in schedule.rows} if schedule is not None else {}
    bands = [_one_band(one, rows.get(one.id)) for one in kept]
    return [*bands, _rest_band(rest, rows, problem.steps)] if rest else bands


def _one_band(one: Request, row: ScheduleRow | None) -> _Band:
    wh = [int(row.at(step)) for step in range(one.arrival, one.departure)] if row is not None else []
    return _Band(one.id, one.energy_wh, one.arrival, one.departure, wh, one.max_wh)


def _rest_band(rest: list[Request], rows: dict[str, ScheduleRow], steps: int) -> _Band:
    wh = [0] * steps
    for row in (rows[one.id] for one in rest if one.id in rows):
        for step, more in enumerate(row.wh, row.first):
            wh[step] += more
    first, end = min(one.arrival for one in rest), max(one.departure for one in rest)
    name = f"{len(rest):,} other{'' if len(rest) == 1 else 's'}"
    return _Band(name, sum(one.energy_wh for one in rest), first, end, wh[first:end], max(wh))


def _band(band: _Band, across: Across, top: int) -> list[str]:
    name = band.name if len(band.name) <= 20 else f"{band.name[:19]}…"
    charging = ""
    if any(band.wh):
        up = Up(top, _BAND, 0, band.most_wh)
        charging = area([(0, wh) for wh in band.wh], across, up, "charge", band.first)
    return [
        f"<g><title>{escape(band.name)}: {band.energy_wh:,} Wh</title>",
        text(LEFT - 10, top + 13, name, "end"),
        across.rect(band.first, band.end, top, _BAND, "window"),
        charging,
        text(RIGHT + 20, top + 13, f"{band.energy_wh:,} Wh", "soft"),
        "</g>",
    ]
