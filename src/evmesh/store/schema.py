"""The tables, and the column types that keep money and time exact on every database."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine


class Units(TypeDecorator[int]):
    """Token units as an int: TEXT on SQLite, whose NUMERIC is a float; NUMERIC(78,0) elsewhere."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric(78, 0))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        return None if value is None else str(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class Instant(TypeDecorator[datetime]):
    """Aware UTC: fixed-width text that sorts on SQLite, TIMESTAMP WITH TIME ZONE elsewhere."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(27) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return text.rjust(27, "0")  # glibc writes the year 1 without its zeros

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("payer", String(42), nullable=False, index=True),
    Column("station", String(48), nullable=False),
    Column("connector", Integer, nullable=False),
    Column("asset", BigInteger, nullable=False),
    Column("arrival", Instant, nullable=False),
    Column("departure", Instant, nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("flexible", Boolean, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("budget", Units, nullable=False),
    Column("base", Units, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("escrow", String(42), nullable=False),
    Column("way", String(16), nullable=False),
    Column("id_tag", String(20), nullable=False, unique=True),
    Column("request_signature", LargeBinary, nullable=False),
    Column("request_nonce", LargeBinary, nullable=False),
    Column("request_deadline", BigInteger, nullable=False),
    Column("max_cost", Units, nullable=False),
    Column("offer_signature", LargeBinary, nullable=False),
    Column("plan_sha256", String(64), nullable=False),
    Column("voucher_signature", LargeBinary),
    Column("voucher_cumulative", Units),
    Column("offered_energy", BigInteger),
    Column("offered_budget", Units),
    Column("voucher_by", Instant),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("deadline", Instant),
    Column("transaction_id", Integer),
    Column("started_at", Instant, index=True),
    Column("stopped_at", Instant),
    Column("meter_start", Integer),
    Column("meter_last", Integer),
    Column("due", Units),
    Column("refund", Units),
    Column("cause", Text, nullable=False),
    Column("flags", JSON, nullable=False),
    UniqueConstraint("payer", "request_nonce"),
    Index(None, "state", "changed_at"),
)

journal = Table(
    "journal",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("session", String(36), nullable=False, index=True),
    Column("event", String(16), nullable=False),
    Column("source", String(16)),
    Column("target", String(16), nullable=False),
    Column("cause", Text, nullable=False),
    sqlite_autoincrement=True,
)

effects = Table(
    "effects",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("session", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("done", Boolean, nullable=False, index=True),
    sqlite_autoincrement=True,
)

ocpp_transactions = Table(
    "ocpp_transactions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("station", String(48), nullable=False),
    Column("connector", Integer, nullable=False),
    Column("id_tag", String(255), nullable=False),
    Column("at", Instant, nullable=False),
    Column("meter_start", Integer, nullable=False),
    Column("session", String(36)),
    Column("stopped_at", Instant),
    Column("meter_stop", Integer),
    Column("stop_reason", String(255)),
    UniqueConstraint("station", "connector", "id_tag", "at", "meter_start"),
    sqlite_autoincrement=True,
)

connectors = Table(
    "connectors",
    metadata,
    Column("station", String(48), primary_key=True),
    Column("connector", Integer, primary_key=True),
    Column("status", String(16)),
    Column("error", String(300)),
    Column("status_at", Instant),
    Column("register_wh", Integer),
    Column("register_at", Instant),
)

notary_leaves = Table(
    "notary_leaves",
    metadata,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("meter", String(60), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("prev_hash", LargeBinary(32), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("session", String(36), index=True),
    UniqueConstraint("meter", "seq"),
)

heads = Table(
    "heads",
    metadata,
    Column("session", String(36), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("schedule_sha256", String(64), nullable=False, index=True),
    Column("problem_sha256", String(64), nullable=False),
    Column("group", String(60), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("start", Instant, nullable=False),
    Column("problem", LargeBinary, nullable=False),
    Column("schedule", LargeBinary, nullable=False),
    Column("pseudonyms", JSON, nullable=False),
    Column("wanted", LargeBinary),
    Column("shortfall", LargeBinary),
    Index(None, "group", "start", "number"),
    sqlite_autoincrement=True,
)

places = Table(
    "places",
    metadata,
    Column("asset", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(60), nullable=False),
    Column("station", String(48), nullable=False),
    Column("connector", Integer, nullable=False),
    Column("evse_id", String(60), nullable=False),
    Column("rating_w", Integer, nullable=False),
    Column("phases", Integer, nullable=False),
    Column("max_current_ma", Integer, nullable=False),
    Column("latitude_udeg", Integer, nullable=False),
    Column("longitude_udeg", Integer, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("deposit_address", String(42), nullable=False),
)

caps = Table(
    "caps",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("group", String(64), nullable=False),
    Column("station", String(48)),
    Column("connector", Integer),
    Column("source", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("power_w", Integer),
    Column("starts_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("reason", String(200), nullable=False),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("session", String(36), primary_key=True),
    Column("format", String(40), primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

refusals = Table(
    "refusals",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("asset", BigInteger, nullable=False),
    Column("payer", String(42), nullable=False),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("departure", Instant, nullable=False),
    Column("code", String(60), nullable=False),
    Column("steps", JSON, nullable=False),
    Column("begins", Instant),
    Column("ends", Instant),
    Column("deficit_wh", Integer, nullable=False),
    Column("offers", JSON, nullable=False),
    Column("problem", LargeBinary, nullable=False),
    Column("schedule", LargeBinary, nullable=False),
    UniqueConstraint("payer", "nonce"),
    sqlite_autoincrement=True,
)

chain_transactions = Table(
    "chain_transactions",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("kind", String(40), nullable=False),  # of the key, what stands before the first colon
    Column("sender", String(42), nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("tx_hash", String(66), nullable=False),
    Column("block", BigInteger),
    Column("gas_used", BigInteger),
    Column("earlier", Text),  # in hexadecimal, one a line: sent before with this nonce, at other prices
    UniqueConstraint("sender", "nonce"),
    Index(None, "kind", "nonce"),
    Index(None, "sender", "block"),
)

rewards = Table(
    "rewards",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("session", String(36), nullable=False, unique=True),
    Column("holder", String(42), nullable=False),
    Column("flex", String(42), nullable=False),
    Column("group", String(60), nullable=False),
    Column("day", String(10), nullable=False),
    Column("units", Units, nullable=False),
    Column("cumulative", Units, nullable=False),
    Column("certificate", LargeBinary(32), nullable=False),
    Column("voucher", LargeBinary),
    Column("final_at", Instant, nullable=False),
    Column("is_made", Boolean, nullable=False, index=True),
    Column("tx_hash", String(66)),
    Column("block", BigInteger),
    Column("gas_used", BigInteger),
    Index(None, "holder", "flex", "number"),
    Index(None, "group", "day"),
    sqlite_autoincrement=True,
)

reward_days = Table(
    "reward_days",
    metadata,
    Column("group", String(60), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("final_at", Instant, nullable=False),
    Column("avoided", Units, nullable=False),
    Column("units", Units, nullable=False),
    Column("sessions", Integer, nullable=False),
)

invoices = Table(
    "invoices",
    metadata,
    Column("operator", String(42), primary_key=True),
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("session", String(36), nullable=False, unique=True),
    Column("issued", Instant, nullable=False),
)

transfers = Table(
    "transfers",
    metadata,
    Column("tx_hash", LargeBinary(32), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("log_index", Integer, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("sender", String(42), nullable=False),
    Column("asset", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("aside", String(16), nullable=False),
    Column("deposit", String(90), index=True),
)

deposits = Table(
    "deposits",
    metadata,
    Column("ref", String(90), primary_key=True),
    Column("asset", BigInteger, nullable=False),
    Column("sender", String(42), nullable=False),
    Column("fee", Units, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("session", String(36), unique=True),
    Column("reason", Text, nullable=False),
    Column("due", Units),
    Column("due_tx", LargeBinary(32)),
    Column("due_block", BigInteger),
    Column("returned", Units),
    Column("returned_tx", LargeBinary(32)),
    Column("returned_block", BigInteger),
    Column("settled", Boolean, nullable=False, index=True),
    Column("terms", String(64), nullable=False),
    Column("word", LargeBinary, nullable=False),
)

deposit_addresses = Table(
    "deposit_addresses",
    metadata,
    Column("asset", BigInteger, primary_key=True, autoincrement=False),
    Column("held", Units),
    Column("unseen", Units),
)

deposit_cursor = Table(
    "deposit_cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("block", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)
