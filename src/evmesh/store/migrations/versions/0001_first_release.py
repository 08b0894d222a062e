"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

from evmesh.store.migrations.channel_tables import create_channels, drop_channels
from evmesh.store.migrations.equipment_tables import create_equipment, drop_equipment
from evmesh.store.migrations.money_tables import create_money, drop_money
from evmesh.store.migrations.stream_tables import create_streams, drop_streams
from evmesh.store.schema import Instant, Units

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "caps",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("group", sa.String(length=64), nullable=False),
        sa.Column("station", sa.String(length=48), nullable=True),
        sa.Column("connector", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("power_w", sa.Integer(), nullable=True),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_caps")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("caps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_caps_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "chain_transactions",
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("tx_hash", sa.String(length=66), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.Column("earlier", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_chain_transactions")),
        sa.UniqueConstraint("sender", "nonce", name=op.f("uq_chain_transactions_sender_nonce")),
    )
    with op.batch_alter_table("chain_transactions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_transactions_kind_nonce"), ["kind", "nonce"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_chain_transactions_sender_block"), ["sender", "block"], unique=False
        )

    create_channels()
    op.create_table(
        "connectors",
        sa.Column("station", sa.String(length=48), nullable=False),
        sa.Column("connector", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.Column("status_at", Instant(), nullable=True),
        sa.Column("register_wh", sa.Integer(), nullable=True),
        sa.Column("register_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("station", "connector", name=op.f("pk_connectors")),
    )
    op.create_table(
        "documents",
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("format", sa.String(length=40), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "format", name=op.f("pk_documents")),
    )
    op.create_table(
        "effects",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_effects")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("effects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_effects_done"), ["done"], unique=False)

    op.create_table(
        "heads",
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_heads")),
    )
    op.create_table(
        "journal",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_journal_session"), ["session"], unique=False)

    op.create_table(
        "notary_leaves",
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("meter", sa.String(length=60), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_notary_leaves")),
        sa.UniqueConstraint("meter", "seq", name=op.f("uq_notary_leaves_meter_seq")),
    )
    with op.batch_alter_table("notary_leaves", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notary_leaves_session"), ["session"], unique=False)

    op.create_table(
        "ocpp_transactions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("station", sa.String(length=48), nullable=False),
        sa.Column("connector", sa.Integer(), nullable=False),
        sa.Column("id_tag", sa.String(length=255), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("meter_start", sa.Integer(), nullable=False),
        sa.Column("session", sa.String(length=36), nullable=True),
        sa.Column("stopped_at", Instant(), nullable=True),
        sa.Column("meter_stop", sa.Integer(), nullable=True),
        sa.Column("stop_reason", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ocpp_transactions")),
        sa.UniqueConstraint(
            "station",
            "connector",
            "id_tag",
            "at",
            "meter_start",
            name=op.f("uq_ocpp_transactions_station_connector_id_tag_at_meter_start"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "places",
        sa.Column("asset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("station", sa.String(length=48), nullable=False),
        sa.Column("connector", sa.Integer(), nullable=False),
        sa.Column("evse_id", sa.String(length=60), nullable=False),
        sa.Column("rating_w", sa.Integer(), nullable=False),
        sa.Column("phases", sa.Integer(), nullable=False),
        sa.Column("max_current_ma", sa.Integer(), nullable=False),
        sa.Column("latitude_udeg", sa.Integer(), nullable=False),
        sa.Column("longitude_udeg", sa.Integer(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("deposit_address", sa.String(length=42), nullable=False),
        sa.PrimaryKeyConstraint("asset", name=op.f("pk_places")),
    )
    op.create_table(
        "plans",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("schedule_sha256", sa.String(length=64), nullable=False),
        sa.Column("problem_sha256", sa.String(length=64), nullable=False),
        sa.Column("group", sa.String(length=60), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("start", Instant(), nullable=False),
        sa.Column("problem", sa.LargeBinary(), nullable=False),
        sa.Column("schedule", sa.LargeBinary(), nullable=False),
        sa.Column("pseudonyms", sa.JSON(), nullable=False),
        sa.Column("wanted", sa.LargeBinary(), nullable=True),
        sa.Column("shortfall", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_plans")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_plans_group_start_number"), ["group", "start", "number"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_plans_schedule_sha256"), ["schedule_sha256"], unique=False)

    op.create_table(
        "refusals",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("asset", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.String(length=42), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=32), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("departure", Instant(), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("begins", Instant(), nullable=True),
        sa.Column("ends", Instant(), nullable=True),
        sa.Column("deficit_wh", sa.Integer(), nullable=False),
        sa.Column("offers", sa.JSON(), nullable=False),
        sa.Column("problem", sa.LargeBinary(), nullable=False),
        sa.Column("schedule", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_refusals")),
        sa.UniqueConstraint("payer", "nonce", name=op.f("uq_refusals_payer_nonce")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("payer", sa.String(length=42), nullable=False),
        sa.Column("station", sa.String(length=48), nullable=False),
        sa.Column("connector", sa.Integer(), nullable=False),
        sa.Column("asset", sa.BigInteger(), nullable=False),
        sa.Column("arrival", Instant(), nullable=False),
        sa.Column("departure", Instant(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("flexible", sa.Boolean(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("budget", Units(), nullable=False),
        sa.Column("base", Units(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("escrow", sa.String(length=42), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.Column("request_signature", sa.LargeBinary(), nullable=False),
        sa.Column("request_nonce", sa.LargeBinary(), nullable=False),
        sa.Column("request_deadline", sa.BigInteger(), nullable=False),
        sa.Column("max_cost", Units(), nullable=False),
        sa.Column("offer_signature", sa.LargeBinary(), nullable=False),
        sa.Column("plan_sha256", sa.String(length=64), nullable=False),
        sa.Column("voucher_signature", sa.LargeBinary(), nullable=True),
        sa.Column("voucher_cumulative", Units(), nullable=True),
        sa.Column("offered_energy", sa.BigInteger(), nullable=True),
        sa.Column("offered_budget", Units(), nullable=True),
        sa.Column("voucher_by", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("deadline", Instant(), nullable=True),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("stopped_at", Instant(), nullable=True),
        sa.Column("meter_start", sa.Integer(), nullable=True),
        sa.Column("meter_last", sa.Integer(), nullable=True),
        sa.Column("due", Units(), nullable=True),
        sa.Column("refund", Units(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("id_tag", name=op.f("uq_sessions_id_tag")),
        sa.UniqueConstraint("payer", "request_nonce", name=op.f("uq_sessions_payer_request_nonce")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_payer"), ["payer"], unique=False)
        batch_op.create_index(batch_op.f("ix_sessions_started_at"), ["started_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_sessions_state_changed_at"), ["state", "changed_at"], unique=False
        )
    create_money()
    create_streams()
    create_equipment()


def downgrade() -> None:

    drop_equipment()
    drop_streams()
    drop_money()
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_state_changed_at"))
        batch_op.drop_index(batch_op.f("ix_sessions_started_at"))
        batch_op.drop_index(batch_op.f("ix_sessions_payer"))

    op.drop_table("sessions")
    op.drop_table("refusals")
    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_plans_schedule_sha256"))
        batch_op.drop_index(batch_op.f("ix_plans_group_start_number"))

    op.drop_table("plans")
    op.drop_table("places")
    op.drop_table("ocpp_transactions")
    with op.batch_alter_table("notary_leaves", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notary_leaves_session"))

    op.drop_table("notary_leaves")
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_journal_session"))

    op.drop_table("journal")
    op.drop_table("heads")
    with op.batch_alter_table("effects", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_effects_done"))

    op.drop_table("effects")
    op.drop_table("documents")
    op.drop_table("connectors")
    drop_channels()
    with op.batch_alter_table("chain_transactions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_transactions_sender_block"))
        batch_op.drop_index(batch_op.f("ix_chain_transactions_kind_nonce"))

    op.drop_table("chain_transactions")
    with op.batch_alter_table("caps", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_caps_expires_at"))

    op.drop_table("caps")
