"""What ought to have ended is told to end again, as often as it takes.

A station may take a RemoteStop and do nothing, restart in between, or charge although it was told
that the start is invalid. The first RemoteStop of a session is an effect and durable; these are
not: after a restart what still runs is known again by its state, or by its meter values.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.sessions import State
from evmesh.ports import ChargePoint, Clock
from evmesh.services.live import LiveState
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
REPEAT_AFTER = timedelta(minutes=2)
"""How long a station has, in platform time, before it is told again."""

_POLL_S = 0.5

Running = tuple[ConnectorRef, int]
"""A connector, and the station's id of the transaction on it."""


class Stops:
    """Runs until cancelled: tells stations again to end what should not run any more."""

    name = "stops"

    def __init__(
        self, transitions: Transitions, clock: Clock, live: LiveState, stations: ChargePoint
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._live = live
        self._stations = stations
        self._asked: dict[Running, datetime] = {}

    async def run(self) -> None:
        """Look a few times a second of wall time; stations do not wait for one another."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = self._clock.now()
                for one in await self._due(now):
                    self._asked[one] = now
                    group.create_task(self._ask(one))
                await asyncio.sleep(_POLL_S)

    async def _due(self, now: datetime) -> list[Running]:
        self._asked = {one: at for one, at in self._asked.items() if at + REPEAT_AFTER > now}
        async with self._transitions.read() as unit:
            sessions = await unit.sessions(open_only=True)
        due: list[Running] = list(self._live.strays.items())
        due += [
            (one.terms.connector, one.transaction_id)
            for one in sessions
            if one.state is State.STOPPING
            and one.transaction_id is not None
            and one.changed_at + REPEAT_AFTER <= now
        ]
        return [one for one in due if one not in self._asked and self._stations.is_connected(one[0].station)]

    async def _ask(self, one: Running) -> None:
        connector, transaction_id = one
        try:
            accepted = await self._stations.remote_stop(connector.station, transaction_id)
        except EvmeshError as error:
            _log.info("stop.not_told", connector=str(connector), why=error.describe())
            return
        _log.info("stop.told_again", connector=str(connector), id=transaction_id, accepted=accepted)
        if not accepted:  # it knows no such transaction; its next meter values tell if it does
            self._live.end_stray(connector.station, transaction_id)
