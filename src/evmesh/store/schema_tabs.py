"""The tables of tabs: what was last seen of them, which ends were signed, refills, and the rows of claims."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from evmesh.store.schema import Instant, Units, metadata

tabs_seen = Table(
    "tabs_seen",
    metadata,
    Column("escrow", String(42), primary_key=True),
    Column("payee", String(42), primary_key=True),
    Column("payer", String(42), primary_key=True),
    Column("spent", Units, nullable=False),
    Column("ceiling", Units, nullable=False),
    Column("exit_at", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("block_at", Instant, nullable=False),
    Column("window_s", BigInteger, nullable=False),
)

closings = Table(
    "closings",
    metadata,
    Column("escrow", String(42), primary_key=True),
    Column("payee", String(42), primary_key=True),
    Column("payer", String(42), primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("deadline", BigInteger, nullable=False),
)

refills = Table(
    "refills",
    metadata,
    Column("session", String(36), primary_key=True),
    Column("cumulative", Units, nullable=False),
    Column("ceiling", Units, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

claim_rows = Table(
    "claim_rows",
    metadata,
    Column("session", String(36), primary_key=True),
    Column("batch", String(80), index=True),
    Column("tries", Integer, nullable=False),
    Column("payer", String(42), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("cumulative", Units, nullable=False),
    Column("amount", Units, nullable=False),
    Column("ceiling", Units),
    Column("deadline", BigInteger),
    Column("signature", LargeBinary, nullable=False),
)
