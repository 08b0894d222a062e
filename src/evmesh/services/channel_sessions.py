"""Tells each session's readers how it is: its status when that changes, its readings as they are stored.

A session that nobody listens to costs nothing. What is said is made of what is stored and of the live
state, so after a crash it is said again; readings are counted with each message, and come once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel_messages import MeterData, SessionStatus
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.evidence import NotaryLeaf
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import TERMINAL, Session
from evmesh.ports import Broadcasts, Clock, Unit
from evmesh.services.channel_access import SessionChannel
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
StatusOf = Callable[[Unit, Session], Awaitable[SessionStatus]]

READABLE_FOR: Final = timedelta(days=7)
"""How long a reader who was away finds what a session said, from its end on."""

_COUNTS_EVERY: Final = timedelta(minutes=1)
"""How often a status is said in which nothing but numbers has changed."""

_ROUND_S: Final = 0.25
_LEAVES_A_ROUND: Final = 100


@dataclass(frozen=True, slots=True)
class _Said:
    """What the readers of a session were told last."""

    status: SessionStatus
    readers: frozenset[bytes]


class SessionBroadcasts:
    """Runs until cancelled."""

    name = "session-channels"

    def __init__(
        self, transitions: Transitions, clock: Clock, broadcasts: Broadcasts, status_of: StatusOf
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._broadcasts = broadcasts
        self._status_of = status_of
        self._said: dict[SessionId, _Said] = {}

    async def run(self) -> None:
        """Tell what has changed, for ever."""
        changed = self._transitions.changes()
        while True:
            await changed.wait()
            changed.clear()
            try:
                await self.tell()
            except Unavailable:
                raise
            except EvmeshError as error:
                _log.error("session_channels.failed", why=error.describe())
            await asyncio.sleep(_ROUND_S)

    async def tell(self) -> None:
        """Say on each channel what its readers do not know yet."""
        for name in await self._broadcasts.names(f"{SessionChannel.READINGS} "):
            await self._tell_readings(name)
        said: dict[str, bytes] = {}
        news: dict[SessionId, _Said] = {}
        over = []
        for name in await self._broadcasts.names(f"{SessionChannel.STATUS} "):
            session, status = await self._look(name)
            if session is None or status is None:
                continue
            readers = frozenset(await self._broadcasts.readers(name))
            if self._is_news(status, readers):
                said[name] = status.encode()
                news[session.id] = _Said(status, readers)
            if session.state in TERMINAL:
                over.append((name, session.id))
        if said:
            await self._broadcasts.say(said)
            self._said |= news
        for name, id in over:
            self._said.pop(id, None)
            await self._broadcasts.end(name, self._clock.now() + READABLE_FOR)

    async def _look(self, name: str) -> tuple[Session | None, SessionStatus | None]:
        async with self._transitions.read() as unit:
            session = await unit.session(_session_in(name))
            return session, None if session is None else await self._status_of(unit, session)

    def _is_news(self, status: SessionStatus, readers: frozenset[bytes]) -> bool:
        said = self._said.get(status.session)
        if said is None or readers - said.readers or _words(status) != _words(said.status):
            return True
        differs = replace(status, at=said.status.at) != said.status
        return differs and status.at - said.status.at >= _COUNTS_EVERY

    async def _tell_readings(self, name: str) -> None:
        """Say the leaves that were stored since; the count of them is kept with each message."""
        async with self._transitions.read() as unit:
            session = await unit.session(_session_in(name))
            leaves: Sequence[NotaryLeaf] = [] if session is None else await unit.session_leaves(session.id)
        told = int(await self._broadcasts.note(f"told {name}") or b"0")
        for number, leaf in enumerate(leaves[told : told + _LEAVES_A_ROUND], told + 1):
            await self._broadcasts.say({name: _meter_data(leaf).encode()}, {f"told {name}": b"%d" % number})
        if len(leaves) > told + _LEAVES_A_ROUND:
            self._transitions.tell()
        elif session is not None and session.state in TERMINAL:
            await self._broadcasts.end(name, self._clock.now() + READABLE_FOR)


def _words(status: SessionStatus) -> tuple[object, ...]:
    """Give what is news at once."""
    return status.state, status.limit, status.reason, status.finish_at


def _meter_data(leaf: NotaryLeaf) -> MeterData:
    content = canonical_cbor(
        {"meter": leaf.meter, "seq": leaf.seq, "prev_hash": leaf.prev_hash, "payload": leaf.payload}
    )
    return MeterData(leaf.index, leaf.salt, content)


def _session_in(name: str) -> SessionId:
    return SessionId.parse(name.partition(" ")[2])


def finish_of(rows: Sequence[int], start: datetime, step: timedelta) -> datetime | None:
    """Give the end of the last step in which a plan row holds energy; None where it holds none."""
    last = max((number for number, wh in enumerate(rows) if wh), default=None)
    return None if last is None else start + (last + 1) * step
