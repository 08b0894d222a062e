"""Tells batteries what the plan has for them, as a power that holds for minutes; then they go their own way.

A battery that charges takes from the same cable as the cars. So it is counted with before it is asked, and
asked once what the cars may draw leaves room for it. What it gives goes to cars and other equipment, and
never into the grid. Where no plan speaks of it, nothing is said, and it does what its maker made it for.
"""

import secrets
from datetime import datetime, timedelta

import structlog

from evmesh.domain.equipment import StationaryBattery
from evmesh.domain.errors import EvmeshError
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.telemetry import Command, ValueName
from evmesh.domain.units import W
from evmesh.ports import Clock, Commands
from evmesh.services.control import Control
from evmesh.services.directory import Directory, Group, Node
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.sources import ASKED_FOR, Sources
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
_BEAT = timedelta(seconds=15)
HOLD = ASKED_FOR
"""How long a battery does what it was told. It is told again when a third of that is over."""

_SAME = 20
"""A twentieth more or less to give than it does is no reason to tell it anew."""


class BatterySteering:
    """Runs until cancelled."""

    name = "batteries"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        directory: Directory,
        planner: Planner,
        live: LiveState,
        control: Control,
        sources: Sources,
        commands: Commands,
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._levels = [
            (group, level, battery)
            for group in directory.groups.values()
            for level in group.levels
            if (battery := level.equipment.battery) is not None
        ]
        self._planner = planner
        self._live = live
        self._control = control
        self._sources = sources
        self._commands = commands
        self._told: dict[str, tuple[W, datetime]] = {}
        """What each battery was told last and took, and until when."""

    async def run(self) -> None:
        """Look at each battery every 15 seconds of platform time."""
        while True:
            await self.once()
            await self._clock.sleep_until(self._clock.now() + _BEAT)

    async def once(self) -> None:
        """Look at each battery."""
        for group, level, battery in self._levels:
            await self._look(group, level, battery)

    async def _look(self, group: Group, level: Group | Node, battery: StationaryBattery) -> None:
        now = self._clock.now()
        async with self._transitions.read() as unit:
            running = await self._planner.running(unit, group.name, now)
        planned = None if running is None else running.battery_power(battery.name, now)
        if planned is None or self._sources.seen(level).soc_percent is None:
            return  # what it was told last runs out
        power = max(
            W(-self._room(group, level, battery.name)), min(planned, battery.max_in), W(-battery.max_out)
        )
        before, until = self._told.get(battery.name, (W(0), now))
        held = before if until > now else W(0)
        if held > 0 and not self._control.carries(group, now + HOLD):
            power = min(power, W(0))  # the cable has less than it had: the battery gives way before the cars
        self._sources.ask(battery.name, max(power, held), now + HOLD)
        if power > max(0, held) and not self._control.carries(group, now + HOLD):
            return  # the cars' limits are on their way down; it is asked at the next look
        if until - now > HOLD * 2 / 3 and abs(power - held) * _SAME <= abs(held):
            return
        await self._tell(battery.name, power, now)

    async def _tell(self, battery: str, power: W, now: datetime) -> None:
        command = Command(battery, ValueName.BATTERY_POWER, secrets.token_hex(8), now + HOLD, power)
        try:
            result = await self._commands.send(command)
        except EvmeshError as error:
            _log.warning("battery.not_told", battery=battery, why=error.describe())
            return
        if result.code:
            _log.warning("battery.refused", battery=battery, code=result.code, why=result.why)
            return
        self._told[battery] = power, now + HOLD
        self._sources.ask(battery, power, now + HOLD)
        self._transitions.tell()

    def _room(self, group: Group, level: Group | Node, battery: str) -> int:
        """Give what a battery may give: what is taken in the group, as far as the cables above it carry.

        What other batteries give covers a part of that.
        """
        room = self._taken(group, group.name, battery)
        parents, at = {one.name: one.parent for one in group.nodes}, level.name
        while at in parents:
            room = min(room, level_of(group, at).capacity + self._taken(group, at, battery))
            at = parents[at]
        return max(0, room)

    def _taken(self, group: Group, name: str, battery: str) -> int:
        """Give what is taken on a part's cable at present, cars and other equipment less PV and batteries."""
        below = {one.name for one in group.at_or_below(name)}
        taken = 0
        for place in group.places:
            live = self._live.connector(place.connector.ref)
            is_below = name == group.name or place.node in below
            if is_below and live.status is ConnectorStatus.CHARGING and live.sample is not None:
                limit = live.profile.limit_at(self._clock.now()) if live.profile else None
                power = live.sample.power or W(0)
                taken += power if limit is None else min(power, limit)
        for one in group.at_or_below(name):
            seen, other = self._sources.seen(one), one.equipment.battery
            taken += max(0, seen.other or 0) - max(0, seen.pv or 0)
            if other is not None and other.name != battery:
                taken += min(0, self._sources.asked(other.name) or 0)
        return taken


def level_of(group: Group, name: str) -> Node:
    """Give a part by its name."""
    return next(one for one in group.nodes if one.name == name)
