"""Grid operators' words on their channels, as caps for the one writer of limits.

The channel makes sure who speaks and that nothing is forged or repeated. What is left to say here: that a
grid operator may only limit what the site gave it a say over, and that an old word overtakes no newer one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.caps import Cap
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import Heard, PowerCap
from evmesh.domain.errors import Refused
from evmesh.domain.ids import ConnectorRef
from evmesh.ports import ChannelStates, ChannelStep, Clock
from evmesh.services.directory import Directory

_log = structlog.get_logger(__name__)
PutCap = Callable[[Cap], Awaitable[object]]
"""Makes a cap durable and has it obeyed; of one source the newest stands."""

_MOST_NOTED: Final = 64


@dataclass(frozen=True, slots=True)
class GridOperator:
    """One grid operator, as the site file lets it in. `name` is the source of its caps."""

    name: str
    invitation: Invitation
    groups: frozenset[str]


class CapOrders:
    """Hears one grid operator."""

    def __init__(
        self,
        operator: GridOperator,
        directory: Directory,
        clock: Clock,
        states: ChannelStates,
        put: PutCap,
    ) -> None:
        self._operator = operator
        self._directory = directory
        self._clock = clock
        self._states = states
        self._put = put

    async def hear(self, heard: Heard) -> None:
        """Take a cap; the same message may come twice.

        Raises InvalidInput for what is none, and Refused `cap.foreign_group`, `cap.expired` or
        `cap.overtaken`: then nothing has changed.
        """
        order = PowerCap.parse(heard.body)
        group, connector = self._target(order)
        if order.ends_at <= self._clock.now():
            raise Refused("cap.expired", f"the cap on {order.target} ended at {order.ends_at:%H:%M:%S} UTC")
        newer = await self._noted(order, heard)
        await self._put(
            Cap(
                group=group,
                source=self._operator.name,
                power=order.power,
                starts_at=order.starts_at,
                expires_at=order.ends_at,
                reason=order.reason,
                connector=connector,
            )
        )
        await self._states.keep(ChannelStep({self._note_name(order): newer}))
        _log.info(
            "cap.taken",
            source=self._operator.name,
            target=order.target,
            power_w=order.power,
            until=order.ends_at.isoformat(),
        )

    def _target(self, order: PowerCap) -> tuple[str, ConnectorRef | None]:
        """Give the group, and the connector where it is about one EVSE."""
        if order.group is not None:
            found = order.group if order.group in self._directory.groups else None
            connector = None
        else:
            places = [one for one in self._directory.places if one.connector.evse_id.text == order.evse]
            found = places[0].connector.group if places else None
            connector = places[0].connector.ref if places else None
        if found is None or found not in self._operator.groups:
            raise Refused("cap.foreign_group", f"{self._operator.name} has no say over {order.target} here")
        return found, connector

    async def _noted(self, order: PowerCap, heard: Heard) -> bytes:
        """Give the note with this message in it; raises Refused where a newer one speaks of its time too."""
        stored = await self._states.state(self._note_name(order))
        now = int(self._clock.now().timestamp())
        mine = [
            heard.at.epoch,
            heard.at.seq,
            int(order.starts_at.timestamp()),
            int(order.ends_at.timestamp()),
        ]
        noted = [mine]
        for row in _rows(stored):
            epoch, seq, start, end = row
            if (epoch, seq) > (mine[0], mine[1]) and start < mine[3] and mine[2] < end:
                raise Refused("cap.overtaken", f"a newer word on {order.target} came before this one")
            if end > now and row != mine:
                noted.append(row)
        return canonical_cbor([list[CborValue](row) for row in sorted(noted)[-_MOST_NOTED:]])

    def _note_name(self, order: PowerCap) -> str:
        return f"note:caps {self._operator.name} {order.target}"


def _rows(stored: bytes | None) -> list[list[int]]:
    if stored is None:
        return []
    found = parse_canonical_cbor(stored)
    rows = found if isinstance(found, list) else []
    return [
        [int(one) for one in row if isinstance(one, int)]
        for row in rows
        if isinstance(row, list) and len(row) == 4
    ]
