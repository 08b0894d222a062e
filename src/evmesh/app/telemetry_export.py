"""The time series as a file that other programs read: CSV, or Parquet with the extra `parquet`."""

import csv
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from evmesh.app.telemetry_words import written
from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryHistory

COLUMNS: Final = ("charger", "value", "at", "number", "word")
"""`number` or `word` is empty; both where the charger did not know."""

Pages = AsyncIterator[Sequence[TelemetryValue]]


async def pages(
    store: TelemetryHistory, charger: str, names: Sequence[str], start: datetime, end: datetime
) -> Pages:
    """Give all readings of these values, value by value."""
    for name in names:
        async for some in store.stream(charger, name, start, end):
            yield some


async def write_csv(path: Path, found: Pages) -> int:
    """Write RFC 4180 with a header; gives how many readings."""
    count = 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        async for some in found:
            writer.writerows((one.charger, one.name, written(one.at), *_split(one)) for one in some)
            count += len(some)
    return count


async def write_parquet(path: Path, found: Pages) -> int:
    """Write Parquet, zstd; gives how many readings. Raises InvalidInput without the library."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InvalidInput(
            "telemetry.no_parquet",
            "this installation cannot write Parquet",
            do="pip install 'evmesh[parquet]', or export CSV",
        ) from error
    kinds: tuple[Any, ...] = (
        arrow.string(),
        arrow.string(),
        arrow.timestamp("us", tz="UTC"),
        arrow.int64(),
        arrow.string(),
    )
    schema = arrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        async for some in found:
            rows = [(one.charger, one.name, one.at, *_split(one)) for one in some]
            columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            writer.write_table(arrow.table(columns, schema=schema))
            count += len(some)
    return count


def _split(one: TelemetryValue) -> tuple[int | None, str | None]:
    return (None, one.value) if isinstance(one.value, str) else (one.value, None)
