"""Everybody's values into the store: read a batch, commit it, and only then acknowledge it.

The broker keeps a persistent session for the ingest and hands out again what was not acknowledged, so a
kill at any point costs nothing: what was committed twice is one row. A batch is what has arrived while
the last one was being written; nothing waits for a batch to fill up.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evmesh.domain.errors import InvalidInput, ProtocolViolation
from evmesh.ports import Clock
from evmesh.telemetry.connection import MqttConfig, log, stay_connected
from evmesh.telemetry.line import Line, open_line
from evmesh.telemetry.presence import Presence
from evmesh.telemetry.ranges import Acks, ack_topic, encode_ack
from evmesh.telemetry.rows import ReadingWriter, Row, SetAside, Written
from evmesh.telemetry.topics import (
    PUBLISHER_FILTER,
    VALUE_FILTER,
    Reading,
    decode,
    is_publisher_topic,
    received,
)
from evmesh.telemetry.wire import Arrived

CLIENT_ID: Final = "evmesh-ingest"
BATCH_AT_MOST: Final = 1_000
ACK_EVERY_S: Final = 0.5


@dataclass(slots=True)
class IngestCounts:
    """What this ingest has done since it was made."""

    batches: int = 0
    stored: int = 0
    duplicates: int = 0
    set_aside: int = 0


@dataclass(slots=True)
class _Batch:
    rows: list[Row]
    set_aside: list[SetAside]
    readings: list[Reading]


class Ingest:
    """A service that stores every value it hears. Raises Unavailable where the store is away.

    Two ingests at one broker need different client ids. A message that is no reading is set aside with
    the reason, and acknowledged: it would be no better the next time.
    """

    name = "telemetry-ingest"

    def __init__(
        self,
        config: MqttConfig,
        store: ReadingWriter,
        clock: Clock,
        *,
        client_id: str = CLIENT_ID,
        batch_at_most: int = BATCH_AT_MOST,
        ack_every_s: float = ACK_EVERY_S,
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._client_id = client_id
        self._batch_at_most = batch_at_most
        self._ack_every_s = ack_every_s
        self._acks = Acks()
        self._presence = Presence()
        self.counts = IngestCounts()
        self.connected = False

    async def run(self) -> None:
        """Store what comes, for ever; comes back by itself when the broker does."""
        await stay_connected(self.name, self._config, self._ingest_while_connected)

    async def _ingest_while_connected(self) -> None:
        try:
            async with open_line(self._config, self._client_id) as line, asyncio.TaskGroup() as group:
                group.create_task(self._consume(line))
                group.create_task(self._talk(line))
                group.create_task(line.stay())
        finally:
            self.connected = False

    async def _consume(self, line: Line) -> None:
        while True:
            arrived = await line.take(self._batch_at_most)
            batch = self._read(arrived)
            written = await self._write(batch.rows, batch.set_aside)
            # From here on the batch is on the disk, whatever happens to us or to the broker.
            line.acknowledge(arrived)
            for reading in batch.readings:
                self._acks.add(reading)
            self.counts.batches += 1
            self.counts.stored += written.stored
            self.counts.duplicates += written.duplicates
            self.counts.set_aside += len(batch.set_aside) + written.contradicting

    async def _write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        """Store a batch; a row that the database can never hold is found by halves and set aside."""
        try:
            return await self._store.write(rows, set_aside)
        except InvalidInput as error:
            if not rows:
                raise
            log.warning("telemetry.unstorable", rows=len(rows), what=error.what)
            if len(rows) == 1:
                row = rows[0]
                poison = SetAside(row.topic, row.payload, error.code, error.what, row.received_at)
                await self._store.write([], [*set_aside, poison])
                return Written(0, 0, 1)
        middle = len(rows) // 2
        first = await self._write(rows[:middle], set_aside)
        second = await self._write(rows[middle:], [])
        return Written(
            first.stored + second.stored,
            first.duplicates + second.duplicates,
            first.contradicting + second.contradicting,
        )

    async def _talk(self, line: Line) -> None:
        """Subscribe, then publish `ack/{charger}` at a slow beat, so that one covers many readings."""
        # Said anew each time: the broker answers with all retained values, whatever its queue lost.
        await line.subscribe((PUBLISHER_FILTER, VALUE_FILTER))
        log.info("mqtt.connected", service=self.name, port=self._config.port)
        self.connected = True
        while True:
            await asyncio.sleep(self._ack_every_s)
            said = [(ack_topic(ack.charger), encode_ack(ack)) for ack in self._acks.take(self._clock.now())]
            await line.publish(said)

    def _read(self, messages: list[Arrived]) -> _Batch:
        batch = _Batch([], [], [])
        now = self._clock.now()
        for topic, payload, _ in messages:
            try:
                reading = decode(topic, payload)
            except ProtocolViolation as error:
                log.warning("telemetry.set_aside", topic=topic, code=error.code, what=error.what)
                batch.set_aside.append(SetAside(topic, payload, error.code, error.what, now))
                continue
            if is_publisher_topic(topic):
                changes = self._presence.publisher_said(reading, now)
            else:
                shown = received(reading, now)
                batch.readings.append(reading)
                batch.rows.append(
                    Row(shown.value, reading.identity, now, topic, payload, reading.boot, reading.seq)
                )
                changes = self._presence.charger_said(reading, now)
            batch.rows += [
                Row(change.value, change.identity, now, topic, payload, reading.boot) for change in changes
            ]
        return batch
