"""The tables of the further streams, as the first release makes them."""

import sqlalchemy as sa
from alembic import op

from evmesh.store.schema import Instant


def create_streams() -> None:
    """Make them."""
    op.create_table(
        "stream_leaves",
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ref", sa.String(length=80), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("stream", "index", name=op.f("pk_stream_leaves")),
    )
    with op.batch_alter_table("stream_leaves", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_stream_leaves_stream_ref_index"), ["stream", "ref", "index"], unique=False
        )

    op.create_table(
        "stream_heads",
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "size", name=op.f("pk_stream_heads")),
    )

    op.create_table(
        "countersignatures",
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_countersignatures")),
    )


def drop_streams() -> None:
    """Drop them."""
    op.drop_table("countersignatures")
    op.drop_table("stream_heads")
    with op.batch_alter_table("stream_leaves", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stream_leaves_stream_ref_index"))

    op.drop_table("stream_leaves")
