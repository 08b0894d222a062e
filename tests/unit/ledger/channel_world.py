"""A writer, readers and keys that are the same in each run."""

import hashlib
from dataclasses import dataclass, field

from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_frame import Sent
from evmesh.ledger.channels_epoch import Opened
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_keys import ReaderKey, WriterKey
from evmesh.ledger.channels_reader import ChannelReader, Outcome
from evmesh.ledger.channels_writer import ChannelWriter

STATION = WriterKey(hashlib.sha256(b"station").digest())
THIEF = WriterKey(hashlib.sha256(b"thief").digest())
DRIVER = ReaderKey(hashlib.sha256(b"driver").digest())
OPERATOR = ReaderKey(hashlib.sha256(b"operator").digest())
STRANGER = ReaderKey(hashlib.sha256(b"stranger").digest())


@dataclass
class Dice:
    """Bytes that are all different, and the same in each run."""

    seed: bytes = b"dice"
    thrown: int = field(default=0)

    def __call__(self, count: int) -> bytes:
        self.thrown += 1
        return hashlib.shake_256(self.seed + self.thrown.to_bytes(8, "big")).digest(count)


def channel(mode: Mode = Mode.RESTRICTED, key: WriterKey = STATION) -> Channel:
    return Channel(mode, key.public, "status")


def writing(mode: Mode = Mode.RESTRICTED, seed: bytes = b"dice") -> ChannelWriter:
    return ChannelWriter(channel(mode), STATION, Dice(seed))


def let_in(writer: ChannelWriter, key: ReaderKey = DRIVER) -> ChannelReader:
    """Grant access from the next message on."""
    return ChannelReader.granted(
        writer.channel, open_grant(writer.channel, writer.grant(key.public), key), key
    )


def give(reader: ChannelReader, *sent: Sent) -> list[Outcome]:
    return [reader.take(one.place, one.packet) for one in sent]


def bodies(outcomes: list[Outcome]) -> list[bytes]:
    return [outcome.body for outcome in outcomes if isinstance(outcome, Opened)]
