"""One epoch of a channel as a reader sees it: frames in any order, repeated, missing, or contradicting.

A frame is opened when it comes, also before those that it overtook; the keys of these are kept until they
come. Kept are the newest KEPT of them, and the statements of the newest KEPT frames that were seen.
"""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.channel import (
    HASH_SIZE,
    KEY_SIZE,
    MAX_NUMBER,
    NO_HASH,
    PLACE_SIZE,
    Channel,
    Missing,
    Position,
)
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.channel_frame import Packet, Statement
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.channels_keys import EpochKeys, body_key, next_chain
from evmesh.ledger.channels_statements import open_body, open_head

KEPT: Final = 1_024
KEPT_IN_STATE: Final = 64
"""Statements that outlive a restart; of older frames a repetition then is told as `TooOld`."""

MAX_JUMP: Final = 100_000
"""Frames that one frame may overtake: what deriving their keys costs is bounded, at some 0.2 s."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message, read for the first time. `late`: one with a higher number was read before."""

    at: Position
    body: bytes
    late: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """A frame that was seen already: a replay, or a carrier that delivers twice."""

    at: Position


@dataclass(frozen=True, slots=True)
class BeforeGrant:
    """A frame of before our grant: its writer and number are known, its body cannot be read."""

    at: Position


@dataclass(frozen=True, slots=True)
class TooOld:
    """A frame so far behind the newest that its key is gone, and whether it was seen is not known."""

    at: Position


@dataclass(frozen=True, slots=True)
class Contradicted:
    """The writer signed both of these, and an honest one cannot have: a proof, for everybody."""

    first: Statement
    second: Statement


Taken = Opened | Repeated | BeforeGrant | TooOld | Contradicted


@dataclass(frozen=True, slots=True)
class Start:
    """From where an epoch is read: its keys there, and what the first frame has to name as the one before."""

    at: Position
    place: bytes
    wraps: bytes
    head: bytes
    chain: bytes
    prev_hash: bytes | None
    """None where the end of the epoch before was not seen."""

    @classmethod
    def of_root(cls, epoch: int, root: bytes) -> "Start":
        """Give the start of a whole epoch."""
        keys = EpochKeys.of(root)
        first = NO_HASH if epoch == 0 else None
        return cls(Position(epoch, 0), keys.place, keys.wraps, keys.head, keys.chain, first)


class EpochReader:
    """Reads one epoch from `start` on."""

    def __init__(self, channel: Channel, start: Start) -> None:
        self.channel = channel
        self.start = start
        self.newest: Statement | None = None
        self._chain = start.chain
        self._next = start.at.seq
        self._waiting: dict[int, bytes] = {}  # the body keys of frames that were overtaken, by number
        self._given_up: list[tuple[int, int]] = []
        self._seen: dict[int, Statement] = {}

    @property
    def epoch(self) -> int:
        return self.start.at.epoch

    @property
    def next_seq(self) -> int:
        """Give the number after the newest frame seen."""
        return self._next

    @property
    def first_prev_hash(self) -> bytes | None:
        """Give what the epoch's very first frame names as the one before; None where it was not seen."""
        first = self._seen.get(0)
        return first.frame.prev_hash if first is not None else None

    def take(self, packet: Packet) -> Taken:
        """Say what a packet is. A contradicting frame is told as such and not opened.

        Raises IntegrityFailure or InvalidInput where it is not the writer's, or not of this epoch.
        """
        statement = open_head(self.channel, self.epoch, packet, self.start.head)
        at = statement.frame.at
        self._require_link(statement)
        if (contradicted := self._contradicted(statement)) is not None:
            return Contradicted(contradicted, statement)
        if at.seq in self._seen:
            return Repeated(at)
        if at.seq < self.start.at.seq:
            return BeforeGrant(at)
        if at.seq < self._next and at.seq not in self._waiting:
            return TooOld(at)
        late = at.seq < self._next
        body = open_body(statement, packet, self._key_of(at.seq))
        self._waiting.pop(at.seq, None)
        self._remember(statement)
        return Opened(at, body, late)

    def missing(self) -> list[Missing]:
        """Give the numbers below the newest that were not seen, as ranges in order."""
        ranges = list(self._given_up)
        for seq in sorted(self._waiting):
            _extend(ranges, seq)
        return [Missing(self.epoch, first, last) for first, last in ranges]

    def has_seen(self, prev_hash: bytes) -> bool:
        """Say whether the newest frame seen (or, before one was, the one before our start) has this hash."""
        return prev_hash == (self.newest.hash if self.newest else self.start.prev_hash)

    def state(self) -> bytes:
        """Give what `restore` needs; secret, since it holds the keys of what is still to come."""
        start = self.start
        return canonical_cbor(
            {
                "epoch": start.at.epoch,
                "seq": start.at.seq,
                "place": start.place,
                "wraps": start.wraps,
                "head": start.head,
                "prev_hash": start.prev_hash,
                "chain": self._chain,
                "next": self._next,
                "waiting": [list[CborValue](pair) for pair in self._waiting.items()],
                "given_up": [list[CborValue](pair) for pair in self._given_up],
                "seen": [self._seen[seq].encode() for seq in sorted(self._seen)[-KEPT_IN_STATE:]],
            }
        )

    @classmethod
    def restore(cls, channel: Channel, state: bytes) -> "EpochReader":
        """Go on where `state` was given; raises InvalidInput."""
        fields = CborFields(state)
        at = Position(fields.whole("epoch", MAX_NUMBER), fields.whole("seq", MAX_NUMBER))
        place, wraps = fields.octets("place", PLACE_SIZE), fields.octets("wraps", PLACE_SIZE)
        head, chain = fields.octets("head", KEY_SIZE), fields.octets("chain", KEY_SIZE)
        prev_hash = fields.octets_or_none("prev_hash", HASH_SIZE)
        reader = cls(channel, Start(at, place, wraps, head, chain, prev_hash))
        reader._next = fields.whole("next", MAX_NUMBER + 1)
        for item in fields.items("waiting"):
            match item:
                case [int(seq), bytes(key)] if len(key) == KEY_SIZE:
                    reader._waiting[seq] = key
                case _:
                    raise _bad_state()
        for item in fields.items("given_up"):
            match item:
                case [int(first), int(last)]:
                    reader._given_up.append((first, last))
                case _:
                    raise _bad_state()
        for item in fields.items("seen"):
            if not isinstance(item, bytes):
                raise _bad_state()
            reader._remember(Statement.parse(item))
        fields.done()
        return reader

    def _require_link(self, statement: Statement) -> None:
        frame = statement.frame
        if frame.at == self.start.at and self.start.prev_hash not in (None, frame.prev_hash):
            raise IntegrityFailure(
                "channel.broken_link",
                "the first frame follows another one than the writer granted access behind",
                do="keep the grant and the packet: the writer signed both",
            )

    def _contradicted(self, statement: Statement) -> Statement | None:
        """Find what was seen and does not go with this."""
        seq = statement.frame.at.seq
        near = [self._seen.get(seq), self._seen.get(seq - 1), self._seen.get(seq + 1), self.newest]
        return next((one for one in near if one is not None and one.contradicts(statement)), None)

    def _key_of(self, seq: int) -> bytes:
        """Give the key of a frame's body, turning the ratchet up to it where it is new."""
        if seq in self._waiting:
            return self._waiting[seq]
        if seq - self._next > MAX_JUMP:
            raise InvalidInput("channel.jump", f"{seq - self._next} frames are missing before this one")
        while self._next <= seq:
            self._waiting[self._next] = body_key(self._chain)
            self._chain = next_chain(self._chain)
            self._next += 1
            if len(self._waiting) > KEPT + 1:  # and the one that is about to be opened
                oldest = next(iter(self._waiting))
                del self._waiting[oldest]
                _extend(self._given_up, oldest)
        return self._waiting[seq]

    def _remember(self, statement: Statement) -> None:
        self._seen[statement.frame.at.seq] = statement
        if self.newest is None or statement.frame.at.seq > self.newest.frame.at.seq:
            self.newest = statement
        if len(self._seen) > KEPT:
            del self._seen[min(self._seen)]


def _bad_state() -> InvalidInput:
    return InvalidInput("channel.bad_state", "these bytes are no state of a reader")


def _extend(ranges: list[tuple[int, int]], seq: int) -> None:
    if ranges and ranges[-1][1] == seq - 1:
        ranges[-1] = (ranges[-1][0], seq)
    else:
        ranges.append((seq, seq))
