"""The tables of encrypted channels, as the first release makes them."""

import sqlalchemy as sa
from alembic import op

from evmesh.store.schema import Instant


def create_channels() -> None:
    """Make them."""
    op.create_table(
        "channel_packets",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("place", sa.LargeBinary(length=16), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("packet", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_channel_packets")),
        sa.UniqueConstraint("place", "slot", name=op.f("uq_channel_packets_place_slot")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "channel_places",
        sa.Column("place", sa.LargeBinary(length=16), nullable=False),
        sa.Column("forget_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_channel_places")),
    )
    with op.batch_alter_table("channel_places", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_channel_places_forget_at"), ["forget_at"], unique=False)

    op.create_table(
        "channel_states",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_channel_states")),
    )


def drop_channels() -> None:
    """Drop them."""
    op.drop_table("channel_states")
    with op.batch_alter_table("channel_places", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_channel_places_forget_at"))

    op.drop_table("channel_places")
    op.drop_table("channel_packets")
