"""Publishes how charge points are on the public ledger: once in each quarter of an hour.

A step has at most one transaction of records per 200 charge points, and one of the occupancy map where a
state has changed. A step that passes while the chain is away is left out: the next one tells how things are.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from evmesh.domain.asset_status import MAX_RECORDS, OCCUPANCY_OF, Occupancy, StatusRecord, step_of
from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.sessions import OCCUPYING, PLUGGED, Session
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh
from evmesh.ports import Clock, StatusBoard
from evmesh.services.directory import Directory, Place
from evmesh.services.live import LiveState
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
AREA: Final = 0
"""Of the map in which all of an operator's charge points stand, in the order of their numbers."""


class StatusFeed:
    """Runs until cancelled."""

    name = "status-feed"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        directory: Directory,
        live: LiveState,
        board: StatusBoard,
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._live = live
        self._board = board
        self._places = sorted(directory.places, key=lambda place: place.asset)
        self._named = False

    @property
    def assets(self) -> tuple[int, ...]:
        """Give the numbers of the assets in the map, in its order."""
        return tuple(place.asset for place in self._places)

    async def run(self) -> None:
        """Publish each step soon after it has begun, for ever."""
        published = -1
        while True:
            step = step_of(self._clock.now())
            if step > published:
                published = step
                try:
                    await self.publish()
                except EvmeshError as error:
                    _log.warning("status.left_out", step=step, code=error.code, what=error.what)
            await self._clock.sleep_until(datetime.fromtimestamp((published + 1) * STEP_S, UTC))

    async def publish(self) -> None:
        """Publish the present step; again in the same step it sends nothing new."""
        records = await self.records()
        if not records:
            return
        step = records[0].step
        for start in range(0, len(records), MAX_RECORDS):
            batch = records[start : start + MAX_RECORDS]
            mined = await self._board.publish(batch, f"status:{step}:{start}")
            _log.info(
                "status.published",
                step=step,
                records=len(batch),
                gas=mined.gas_used,
                gas_per_record=mined.gas_used // len(batch),
            )
        await self._publish_map(step, [record.state for record in records])

    async def records(self) -> list[StatusRecord]:
        """Give how every charge point is now."""
        async with self._transitions.read() as unit:
            found = await unit.sessions(open_only=True)
        sessions = {one.terms.connector: one for one in found if one.state in OCCUPYING}
        now = self._clock.now()
        return [self._record(place, sessions, now) for place in self._places]

    def _record(self, place: Place, sessions: Mapping[ConnectorRef, Session], now: datetime) -> StatusRecord:
        ref = place.connector.ref
        live, session = self._live.connector(ref), sessions.get(ref)
        online = ref.station in self._live.online
        sample = live.sample if session is not None and session.state in PLUGGED else None
        drawing = online and live.status is ConnectorStatus.CHARGING
        power = None if sample is None or not drawing else sample.power
        if power is None and online and live.status is not None and not drawing:
            power = W(0)
        left = None if session is None else Wh(max(0, self._live.wanted(session) - session.delivered))
        return StatusRecord(
            asset=place.asset,
            step=step_of(now),
            state=OCCUPANCY_OF.get(live.status, Occupancy.UNKNOWN) if online and live.status else 0,
            soc_percent=None if sample is None else sample.soc_percent,
            power=power,
            limit=live.profile.limit_at(now) if live.profile is not None else None,
            energy_left=left,
            time_left_s=None
            if session is None
            else max(0, int((session.terms.departure - now).total_seconds())),
        )

    async def _publish_map(self, step: int, states: Sequence[int]) -> None:
        if not self._named:
            name = f"area:{AREA}:{len(self.assets)}:{self.assets[0]}:{self.assets[-1]}:{step}"
            await self._board.name_assets(AREA, self.assets, name)
            self._named = True
        _, told = await self._board.states(AREA, len(states))
        if list(told) != list(states):
            await self._board.set_states(AREA, step, states, f"map:{step}")
