"""The tables of the further streams, and of what drivers sign of their sessions' records."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from evmesh.store.schema import Instant, metadata

stream_leaves = Table(
    "stream_leaves",
    metadata,
    Column("stream", String(32), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("ref", String(80), nullable=False),
    Column("at", Instant, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index(None, "stream", "ref", "index"),
)

stream_heads = Table(
    "stream_heads",
    metadata,
    Column("stream", String(32), primary_key=True),
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("seen_at", Instant, nullable=False),
)

countersignatures = Table(
    "countersignatures",
    metadata,
    Column("session", String(36), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)
