"""States of channels' writers and readers, and packets until they are carried. Implements `ChannelStates`.

A writer's state and the packets that its step gave are one database transaction: no key and no number of
a channel is ever used twice, and nothing that was said is lost, whenever the process is killed.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from evmesh.domain.channel_frame import Sent
from evmesh.ports import ChannelStep
from evmesh.store import schema_channels as schema
from evmesh.store.database import Database
from evmesh.store.unit import SqlUnit


class ChannelBook:
    """The tables of channels. `owner` keeps apart the states of several identities in one database."""

    def __init__(self, database: Database, owner: str = "") -> None:
        self._database = database
        self._owner = f"{owner}/" if owner else ""

    async def state(self, name: str) -> bytes | None:
        """Give what was kept last under a name."""
        table = schema.channel_states
        async with self._database.begin() as unit:
            rows = await unit.execute(select(table.c.state).where(table.c.name == self._owner + name))
            row = rows.first()
        return None if row is None else bytes(row[0])

    async def names(self, prefix: str) -> Sequence[str]:
        """Give the names that begin so, in order."""
        table = schema.channel_states
        async with self._database.begin() as unit:
            rows = await unit.execute(
                select(table.c.name)
                .where(table.c.name.startswith(self._owner + prefix, autoescape=True))
                .order_by(table.c.name)
            )
            return [str(row[0]).removeprefix(self._owner) for row in rows]

    async def keep(self, step: ChannelStep) -> None:
        """Make a step durable, whole or not at all."""
        async with self._database.begin() as unit:
            for name, state in step.states.items():
                await _keep_state(unit, self._owner + name, state)
            for one in step.packets:
                await _keep_packet(unit, one)
            for place, instant in step.forget.items():
                await _keep_place(unit, place, instant)

    async def waiting(self, most: int) -> Sequence[tuple[int, Sent]]:
        """Give what is to be carried, oldest first, each with its number."""
        table = schema.channel_packets
        async with self._database.begin() as unit:
            rows = await unit.execute(select(table).order_by(table.c.number).limit(most))
            return [
                (row["number"], Sent(bytes(row["place"]), row["slot"], bytes(row["packet"])))
                for row in rows.mappings()
            ]

    async def carried(self, numbers: Sequence[int]) -> None:
        """Note that these lie at the carrier; one that was replaced meanwhile has another number."""
        table = schema.channel_packets
        async with self._database.begin() as unit:
            await unit.execute(delete(table).where(table.c.number.in_(numbers)))

    async def forgettable(self, now: datetime) -> Sequence[bytes]:
        """Give the places whose time has come."""
        table = schema.channel_places
        async with self._database.begin() as unit:
            rows = await unit.execute(select(table.c.place).where(table.c.forget_at <= now))
            return [bytes(row[0]) for row in rows]

    async def forgotten(self, place: bytes) -> None:
        """Note that the carrier has forgotten a place; what still waited for it is dropped too."""
        async with self._database.begin() as unit:
            for table in (schema.channel_places, schema.channel_packets):
                await unit.execute(delete(table).where(table.c.place == place))


async def _keep_state(unit: SqlUnit, name: str, state: bytes | None) -> None:
    table = schema.channel_states
    await unit.execute(delete(table).where(table.c.name == name))
    if state is not None:
        await unit.execute(insert(table).values(name=name, state=state))


async def _keep_packet(unit: SqlUnit, one: Sent) -> None:
    table = schema.channel_packets
    await unit.execute(delete(table).where((table.c.place == one.place) & (table.c.slot == one.slot)))
    await unit.execute(insert(table).values(place=one.place, slot=one.slot, packet=one.packet))


async def _keep_place(unit: SqlUnit, place: bytes, forget_at: datetime) -> None:
    table = schema.channel_places
    await unit.execute(delete(table).where(table.c.place == place))
    await unit.execute(insert(table).values(place=place, forget_at=forget_at))
