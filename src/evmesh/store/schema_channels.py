"""The tables of encrypted channels: secret states, what is to be carried, what is to be forgotten."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table, UniqueConstraint

from evmesh.store.schema import Instant, metadata

channel_states = Table(
    "channel_states",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

channel_packets = Table(
    "channel_packets",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("place", LargeBinary(16), nullable=False),
    Column("slot", Integer, nullable=False),
    Column("packet", LargeBinary, nullable=False),
    UniqueConstraint("place", "slot"),
    sqlite_autoincrement=True,
)

channel_places = Table(
    "channel_places",
    metadata,
    Column("place", LargeBinary(16), primary_key=True),
    Column("forget_at", Instant, nullable=False, index=True),
)
