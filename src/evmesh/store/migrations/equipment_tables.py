"""The table of metered equipment, as the first release makes it."""

import sqlalchemy as sa
from alembic import op

from evmesh.store.schema import Instant


def create_equipment() -> None:
    """Make it."""
    op.create_table(
        "equipment_steps",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("start", Instant(), nullable=False),
        sa.Column("wh", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "start", name=op.f("pk_equipment_steps")),
    )


def drop_equipment() -> None:
    """Drop it."""
    op.drop_table("equipment_steps")
