"""One batch of readings into PostgreSQL, inside a transaction: what is new, what was there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from evmesh.domain.telemetry_summary import DAY_S, QUARTER_S, Summary, coarser, summarise
from evmesh.telemetry.ranges import ranges_of
from evmesh.telemetry.rows import Row, SetAside, contradiction
from evmesh.telemetry.timescale import Connection

_TAKE_NUMBERS: Final = """
    WITH told AS (
        INSERT INTO ev_numbers AS known (charger, boot, stored)
        SELECT charger, boot, ranges::int8multirange
        FROM unnest($1::text[], $2::text[], $3::text[]) AS t(charger, boot, ranges)
        ON CONFLICT (charger, boot) DO UPDATE
        SET stored = known.stored + excluded.stored, again = known.stored * excluded.stored
        RETURNING charger, boot, again)
    SELECT charger, boot, again FROM told WHERE NOT isempty(again)
"""
_TAKE_UNNUMBERED: Final = """
    INSERT INTO ev_unnumbered SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
    RETURNING charger, identity
"""
_INSERT: Final = """
    INSERT INTO ev_readings (charger, name, at, identity, number, word, boot, seq, received_at)
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::int8[], $6::text[], $7::text[], $8::int8[],
        $9::timestamptz[])
"""
_STORED: Final = """
    SELECT told.place FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[])
        WITH ORDINALITY AS told(charger, name, at, identity, place)
    JOIN ev_readings AS known USING (charger, name, at, identity)
    WHERE known.number IS NOT DISTINCT FROM ($5::int8[])[told.place]
        AND known.word IS NOT DISTINCT FROM ($6::text[])[told.place]
"""
_ROLL_UP: Final = """
    INSERT INTO ev_rollups AS known
        (charger, name, width_s, at, count, total, lowest, highest, first, last, first_at, last_at)
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::int4[], $4::timestamptz[], $5::int8[], $6::numeric[], $7::int8[],
        $8::int8[], $9::int8[], $10::int8[], $11::timestamptz[], $12::timestamptz[])
    ON CONFLICT (charger, name, width_s, at) DO UPDATE SET
        count = known.count + excluded.count,
        total = known.total + excluded.total,
        lowest = least(known.lowest, excluded.lowest),
        highest = greatest(known.highest, excluded.highest),
        first = CASE WHEN excluded.first_at < known.first_at THEN excluded.first ELSE known.first END,
        last = CASE WHEN excluded.last_at >= known.last_at THEN excluded.last ELSE known.last END,
        first_at = least(known.first_at, excluded.first_at),
        last_at = greatest(known.last_at, excluded.last_at)
"""


@dataclass(slots=True)
class Stored:
    """What became of rows; those in neither were there already."""

    count: int = 0
    contradictions: list[SetAside] = field(default_factory=list)


async def store_rows(connection: Connection, rows: Sequence[Row]) -> Stored:
    """Insert what is new, sums included."""
    stored = Stored()
    if not rows:
        return stored
    once = _once(rows, stored)
    again: list[Row] = []
    numbered = [row for row in once if row.seq]
    others = [row for row in once if not row.seq]
    fresh: list[Row] = []
    if numbered:
        known = await _take_numbers(connection, numbered)
        for row in numbered:
            (again if _is_known(row, known) else fresh).append(row)
    if others:
        found = await connection.fetch(
            _TAKE_UNNUMBERED, [row.value.charger for row in others], [row.identity for row in others]
        )
        new = {(charger, identity) for charger, identity in found}
        fresh += [row for row in others if (row.value.charger, row.identity) in new]
    if again:
        stored.contradictions += await _contradictions(connection, again)
    if fresh:
        await _insert(connection, fresh)
    stored.count = len(fresh)
    return stored


def _once(rows: Sequence[Row], stored: Stored) -> list[Row]:
    """Take each identity once; one with two contents within a batch is set aside the second time."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        kept = first.setdefault((row.value.charger, row.identity), row)
        if row.seq and kept.value != row.value:
            stored.contradictions.append(contradiction(row, repr(kept.value)))
    return list(first.values())


Known = dict[tuple[str, str], list[tuple[int, int]]]


async def _take_numbers(connection: Connection, rows: Sequence[Row]) -> Known:
    """Note numbers as stored; gives which of them were so before. Locks their runs until the commit."""
    runs: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        runs.setdefault((row.value.charger, row.boot or ""), []).append(row.seq or 0)
    order = sorted(runs)  # always the same, so that two ingests never wait for each other
    ranges = [_multirange(ranges_of(runs[run])) for run in order]
    found = await connection.fetch(
        _TAKE_NUMBERS, [charger for charger, _ in order], [boot for _, boot in order], ranges
    )
    return {(row["charger"], row["boot"]): [(one.lower, one.upper) for one in row["again"]] for row in found}


def _multirange(ranges: Iterable[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}"


def _is_known(row: Row, known: Known) -> bool:
    if not known:
        return False
    number = row.seq or 0
    return any(low <= number < end for low, end in known.get((row.value.charger, row.boot or ""), ()))


async def _contradictions(connection: Connection, rows: Sequence[Row]) -> list[SetAside]:
    """Find the rows that are not the very ones that are stored."""
    same = await connection.fetch(_STORED, *list(_columns(rows))[:6])
    there = {row["place"] - 1 for row in same}
    return [
        contradiction(row, "another one, or one that is no longer kept")
        for place, row in enumerate(rows)
        if place not in there
    ]


async def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    await connection.execute(_INSERT, *_columns(rows))
    sums = _sums(rows)
    if sums:
        await connection.execute(_ROLL_UP, *(list(column) for column in zip(*sums, strict=True)))


def _columns(rows: Sequence[Row]) -> Iterable[list[object]]:
    values = [row.value for row in rows]
    yield [one.charger for one in values]
    yield [one.name for one in values]
    yield [one.at for one in values]
    yield [row.identity for row in rows]
    yield [one.value if isinstance(one.value, int) else None for one in values]
    yield [one.value if isinstance(one.value, str) else None for one in values]
    yield [row.boot for row in rows]
    yield [row.seq for row in rows]
    yield [row.received_at for row in rows]


def _sums(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Sum up the batch; in the order of the key, as ever where two ingests could wait for each other."""
    series: dict[tuple[str, str], list[tuple[datetime, int]]] = {}
    for row in rows:
        if isinstance(row.value.value, int):
            series.setdefault((row.value.charger, row.value.name), []).append((row.value.at, row.value.value))
    found = []
    for key, readings in series.items():
        quarters = list(summarise(readings, QUARTER_S).values())
        for width_s, sums in ((QUARTER_S, quarters), (DAY_S, coarser(quarters, DAY_S))):
            found += [(*key, width_s, *_sum(one)) for one in sums]
    return sorted(found, key=lambda one: one[:4])


def _sum(one: Summary) -> tuple[object, ...]:
    numbers = (one.lowest, one.highest, one.first, one.last)
    return (one.at, one.count, Decimal(one.total), *numbers, one.first_at, one.last_at)


async def put_aside(connection: Connection, messages: Sequence[SetAside], at_most: int) -> None:
    """Keep messages that are no readings, each once and the newest `at_most`."""
    await connection.execute(
        "INSERT INTO ev_set_aside (digest, received_at, topic, payload, code, reason)"
        " SELECT * FROM unnest("
        "$1::bytea[], $2::timestamptz[], $3::text[], $4::bytea[], $5::text[], $6::text[])"
        " ON CONFLICT DO NOTHING",
        [one.digest for one in messages],
        [one.received_at for one in messages],
        [one.topic.replace("\0", "�") for one in messages],
        [one.kept_payload for one in messages],
        [one.code for one in messages],
        [one.reason.replace("\0", "�") for one in messages],
    )
    # A publisher of nonsense must not fill the disk. Conflicts leave gaps in the numbers: count rows.
    await connection.execute(
        "DELETE FROM ev_set_aside WHERE number <="
        " (SELECT number FROM ev_set_aside ORDER BY number DESC OFFSET $1 LIMIT 1)",
        at_most,
    )
