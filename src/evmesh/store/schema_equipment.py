"""The table of what stood beside the charge points: its metered quarter-hours."""

from sqlalchemy import Column, Integer, String, Table

from evmesh.store.schema import Instant, metadata

equipment_steps = Table(
    "equipment_steps",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("wh", Integer, nullable=False),
)
