"""The table of the terms that were signed for plain transfers."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from evmesh.store.schema import Instant, metadata

transfer_terms = Table(
    "transfer_terms",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("asset", BigInteger, nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_until", Instant, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index("ix_transfer_terms_asset_valid_until", "asset", "valid_until"),
)
