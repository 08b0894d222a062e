"""The tables of rewards, invoices, vouchers and transfers, as the first release makes them."""

import sqlalchemy as sa
from alembic import op

from evmesh.store.schema import Instant, Units


def create_money() -> None:
    """Make them."""
    op.create_table(
        "invoices",
        sa.Column("operator", sa.String(length=42), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("issued", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("operator", "year", "number", name=op.f("pk_invoices")),
        sa.UniqueConstraint("session", name=op.f("uq_invoices_session")),
    )
    op.create_table(
        "reward_days",
        sa.Column("group", sa.String(length=60), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("final_at", Instant(), nullable=False),
        sa.Column("avoided", Units(), nullable=False),
        sa.Column("units", Units(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("group", "day", name=op.f("pk_reward_days")),
    )
    op.create_table(
        "rewards",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("holder", sa.String(length=42), nullable=False),
        sa.Column("flex", sa.String(length=42), nullable=False),
        sa.Column("group", sa.String(length=60), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("units", Units(), nullable=False),
        sa.Column("cumulative", Units(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(length=32), nullable=False),
        sa.Column("voucher", sa.LargeBinary(), nullable=True),
        sa.Column("final_at", Instant(), nullable=False),
        sa.Column("is_made", sa.Boolean(), nullable=False),
        sa.Column("tx_hash", sa.String(length=66), nullable=True),
        sa.Column("block", sa.BigInteger(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rewards")),
        sa.UniqueConstraint("session", name=op.f("uq_rewards_session")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("rewards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rewards_group_day"), ["group", "day"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_rewards_holder_flex_number"), ["holder", "flex", "number"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_rewards_is_made"), ["is_made"], unique=False)

    op.create_table(
        "tabs_seen",
        sa.Column("escrow", sa.String(length=42), nullable=False),
        sa.Column("payee", sa.String(length=42), nullable=False),
        sa.Column("payer", sa.String(length=42), nullable=False),
        sa.Column("spent", Units(), nullable=False),
        sa.Column("ceiling", Units(), nullable=False),
        sa.Column("exit_at", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("block_at", Instant(), nullable=False),
        sa.Column("window_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("escrow", "payee", "payer", name=op.f("pk_tabs_seen")),
    )

    op.create_table(
        "closings",
        sa.Column("escrow", sa.String(length=42), nullable=False),
        sa.Column("payee", sa.String(length=42), nullable=False),
        sa.Column("payer", sa.String(length=42), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("escrow", "payee", "payer", "epoch", name=op.f("pk_closings")),
    )

    op.create_table(
        "refills",
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("cumulative", Units(), nullable=False),
        sa.Column("ceiling", Units(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_refills")),
    )

    op.create_table(
        "claim_rows",
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("batch", sa.String(length=80), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("payer", sa.String(length=42), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("cumulative", Units(), nullable=False),
        sa.Column("amount", Units(), nullable=False),
        sa.Column("ceiling", Units(), nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_claim_rows")),
    )
    with op.batch_alter_table("claim_rows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_claim_rows_batch"), ["batch"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("asset", sa.BigInteger(), nullable=False),
        sa.Column("amount", Units(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("aside", sa.String(length=16), nullable=False),
        sa.Column("deposit", sa.String(length=90), nullable=True),
        sa.PrimaryKeyConstraint("tx_hash", "position", name=op.f("pk_transfers")),
    )
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_transfers_deposit"), ["deposit"], unique=False)

    op.create_table(
        "deposits",
        sa.Column("ref", sa.String(length=90), nullable=False),
        sa.Column("asset", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("fee", Units(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("session", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due", Units(), nullable=True),
        sa.Column("due_tx", sa.LargeBinary(length=32), nullable=True),
        sa.Column("due_block", sa.BigInteger(), nullable=True),
        sa.Column("returned", Units(), nullable=True),
        sa.Column("returned_tx", sa.LargeBinary(length=32), nullable=True),
        sa.Column("returned_block", sa.BigInteger(), nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("terms", sa.String(length=64), nullable=False),
        sa.Column("word", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_deposits")),
        sa.UniqueConstraint("session", name=op.f("uq_deposits_session")),
    )
    with op.batch_alter_table("deposits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deposits_settled"), ["settled"], unique=False)

    op.create_table(
        "deposit_addresses",
        sa.Column("asset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("held", Units(), nullable=True),
        sa.Column("unseen", Units(), nullable=True),
        sa.PrimaryKeyConstraint("asset", name=op.f("pk_deposit_addresses")),
    )
    op.create_table(
        "transfer_terms",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("asset", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", Instant(), nullable=False),
        sa.Column("valid_until", Instant(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_transfer_terms")),
    )
    with op.batch_alter_table("transfer_terms", schema=None) as batch_op:
        batch_op.create_index("ix_transfer_terms_asset_valid_until", ["asset", "valid_until"], unique=False)

    op.create_table(
        "deposit_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit_cursor")),
    )


def drop_money() -> None:
    """Drop them."""
    op.drop_table("deposit_cursor")
    with op.batch_alter_table("transfer_terms", schema=None) as batch_op:
        batch_op.drop_index("ix_transfer_terms_asset_valid_until")

    op.drop_table("transfer_terms")
    op.drop_table("deposit_addresses")
    with op.batch_alter_table("deposits", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deposits_settled"))

    op.drop_table("deposits")
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_transfers_deposit"))

    op.drop_table("transfers")

    with op.batch_alter_table("claim_rows", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_claim_rows_batch"))

    op.drop_table("claim_rows")
    op.drop_table("refills")
    op.drop_table("closings")
    op.drop_table("tabs_seen")
    with op.batch_alter_table("rewards", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rewards_is_made"))
        batch_op.drop_index(batch_op.f("ix_rewards_holder_flex_number"))
        batch_op.drop_index(batch_op.f("ix_rewards_group_day"))

    op.drop_table("rewards")
    op.drop_table("reward_days")
    op.drop_table("invoices")
