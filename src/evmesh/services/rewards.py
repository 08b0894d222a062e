"""What a group-day's flexibility earns, from metered facts; `reward_days.py` makes it final and pays it.

Until the day is over more stays may come, and every figure may change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise

from evmesh.domain.ids import Address
from evmesh.domain.problem import SupplySegment
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward, flexibility_value, reward_of
from evmesh.domain.sessions import Session, State, Way
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.flexibility import GroupDay, MeteredStay, rewards
from evmesh.ports import Unit
from evmesh.services.directory import Directory, Group, Operator, Supply
from evmesh.services.plan_in_force import parse_plan
from evmesh.services.receipts import chain_ref

SHARE_PER_MILLE = 500
"""The share of the avoided cost that the operator passes on."""


_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Stay:
    session: Session
    receipt: bytes
    metered: MeteredStay
    metered_until: datetime
    """The unplug as the meter dates it."""


class RewardBook:
    """Computes rewards; keeps nothing."""

    def __init__(self, directory: Directory, operator: Operator, supply: Supply) -> None:
        self._directory = directory
        self._operator = operator
        self._supply = supply

    async def day_so_far(self, unit: Unit, group: Group, day: datetime) -> list[Reward]:
        """Give an unsigned reward for each metered session that began on the day, oldest first.

        `day` is local midnight. Sessions that began on the day count whole, also past midnight. Who paid
        by plain transfer drew like anybody else, has signed nothing that would say so, and earns nothing.
        """
        stays = await self._stays(unit, group, day)
        if not stays:
            return []
        begins, ends = bounds_of(day)
        last = max(one.metered_until for one in stays) + _SECOND  # an end at a boundary is in the next step
        grid = TimeGrid.covering(begins, max(last, ends), STEP_S)
        prices = await self._prices(unit, group, grid)
        group_day = GroupDay(grid, self._supply(group, grid), prices, SHARE_PER_MILLE)
        found = rewards(group_day, [one.metered for one in stays])
        dearest = [max(prices, default=0) for prices in _by_step(group_day.supply, grid.steps)]
        capped = [min(price, most) for price, most in zip(prices, dearest, strict=True)]
        values = {one.metered.id: _value(one, found.baselines, grid, capped) for one in stays}
        documents, rewarded = [], dict[Address, int]()
        for one in stays:
            if one.session.terms.way is Way.TRANSFER:
                continue
            holder = one.session.terms.payer
            if holder not in rewarded:
                rewarded[holder] = await unit.rewarded(holder, self._operator.contracts.flex)
            document = self._document(
                one, group, day, grid, capped, found.baselines, values, found.avoided_millis
            )
            rewarded[holder] += document.reward
            documents.append(replace(document, cumulative=rewarded[holder]))
        return documents

    async def _stays(self, unit: Unit, group: Group, day: datetime) -> list[_Stay]:
        found = []
        for session in await unit.sessions_begun(*bounds_of(day)):
            here = self._directory.by_asset(session.terms.asset).connector.group == group.name
            if not here or session.state not in (State.METERED, State.SETTLED):
                continue
            receipt = await unit.document(session.id, Receipt.FORMAT)
            if receipt is not None:
                readings = readings_of(Receipt.parse(receipt))
                wh = metered_by_step(readings)
                stay = MeteredStay(session.id.text, readings[0].at, wh, _is_opted_out(session))
                found.append(_Stay(session, receipt, stay, readings[-1].at))
        return found

    async def _prices(self, unit: Unit, group: Group, grid: TimeGrid) -> tuple[int, ...]:
        """Give λ of each step by the plan that was newest when it began; the tariff where none was."""
        cheapest = [min(prices, default=0) for prices in _by_step(self._supply(group, grid), grid.steps)]
        for stored in await unit.plans(group.name, grid.start, grid.end):
            first = grid.index_of(stored.start)
            planned = parse_plan(stored).schedule.step_price[: grid.steps - first]
            cheapest[first : first + len(planned)] = planned  # until a later plan begins
        return tuple(cheapest)

    def _document(
        self,
        stay: _Stay,
        group: Group,
        day: datetime,
        grid: TimeGrid,
        capped: Sequence[int],
        baselines: dict[str, tuple[int, ...]],
        values: dict[str, int],
        avoided: int,
    ) -> Reward:
        first = grid.index_of(stay.metered.plugged_at)
        end = first + len(stay.metered.wh)
        total, mine = sum(values.values()), values[stay.metered.id]
        return Reward(
            receipt_sha256=sha256(stay.receipt).digest(),
            session=stay.session.id,
            chain=chain_ref(self._operator.contracts),
            flex=self._operator.contracts.flex,
            holder=stay.session.terms.payer,
            group=group.name,
            day=day.strftime("%Y-%m-%d"),
            start=grid.bounds(first)[0],
            step_s=STEP_S,
            metered_wh=stay.metered.wh,
            baseline_wh=baselines[stay.metered.id],
            step_price=tuple(capped[first:end]),
            value=mine,
            total=total,
            avoided=max(0, avoided),
            share_per_mille=SHARE_PER_MILLE,
            reward=reward_of(mine, total, max(0, avoided), SHARE_PER_MILLE),
            cumulative=0,
            vested_at=stay.metered_until,
            payee=self._operator.payee.address,
        )


def _is_opted_out(session: Session) -> bool:
    return not session.terms.flexible or session.terms.way is Way.TRANSFER


def bounds_of(day: datetime) -> tuple[datetime, datetime]:
    """Give when a local day begins and ends, of `day`, its midnight: 23 to 25 hours apart."""
    return day.astimezone(UTC), (day + timedelta(days=1)).astimezone(UTC)


def readings_of(receipt: Receipt) -> list[Reading]:
    """Give the load curve as readings: whoever holds the receipt can check what comes of it."""
    start = Reading.parse(receipt.start.payload)
    return [replace(start, at=start.at + timedelta(seconds=s), register=wh) for s, wh in receipt.curve]


def metered_by_step(readings: Sequence[Reading]) -> tuple[int, ...]:
    """Give the Wh of each step from the start's to the stop's; a sum of registers, so nothing is lost.

    Between two readings energy is taken to flow evenly; parts of a Wh stay in the earlier register.
    """
    grid = TimeGrid.covering(readings[0].at, readings[-1].at + _SECOND, STEP_S)
    boundaries = [grid.bounds(step)[1] for step in range(grid.steps)]
    registers = [register_at(readings, at) for at in boundaries]
    before = [readings[0].register, *registers[:-1]]
    return tuple(after - earlier for earlier, after in zip(before, registers, strict=True))


def register_at(readings: Sequence[Reading], at: datetime) -> Wh:
    """Give the register at an instant, interpolated between readings, rounded down."""
    if at >= readings[-1].at:
        return readings[-1].register
    for earlier, later in pairwise(readings):
        if earlier.at <= at < later.at:
            passed_s, span_s = int((at - earlier.at).total_seconds()), _seconds(earlier, later)
            return Wh(earlier.register + (later.register - earlier.register) * passed_s // span_s)
    return readings[0].register


def _seconds(earlier: Reading, later: Reading) -> int:
    return int((later.at - earlier.at).total_seconds())


def _by_step(supply: Sequence[SupplySegment], steps: int) -> list[list[int]]:
    prices: list[list[int]] = [[] for _ in range(steps)]
    for segment in supply:
        prices[segment.step].append(segment.price)
    return prices


def _value(stay: _Stay, baselines: dict[str, tuple[int, ...]], grid: TimeGrid, capped: Sequence[int]) -> int:
    if stay.metered.opted_out:
        return 0
    first = grid.index_of(stay.metered.plugged_at)
    prices = tuple(capped[first : first + len(stay.metered.wh)])
    return flexibility_value(stay.metered.wh, baselines[stay.metered.id], prices)
