"""Reads a channel through its epochs: what came, what is missing, what was forged, and who is let in.

A reader has no I/O and asks no server: it says which places to watch and is handed what lies there, in
any order and as often as it likes. Its `state()` is to be kept where a message counts as read.
"""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import HASH_SIZE, KEY_SIZE, Channel, Missing, Mode
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.channel_frame import Packet
from evmesh.domain.channel_grant import Grant
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.channels_epoch import BeforeGrant, EpochReader, Opened, Repeated, Start, Taken
from evmesh.ledger.channels_grants import find_root, open_part
from evmesh.ledger.channels_keys import EpochKeys, ReaderKey, following_root, key_hash, public_root

_PAST: Final = 4
"""Epochs before the present one whose late frames are still read."""


@dataclass(frozen=True, slots=True)
class Turned:
    """The channel goes on in this epoch, and we can read it: there are other places to watch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Excluded:
    """The writer began this epoch and gave us no key for it: we were revoked."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One part of an epoch's wraps that are not all here; ours is not among those that are."""

    epoch: int


Outcome = Taken | Turned | Excluded | Waiting


class ChannelReader:
    """One reader of one channel. Begin with `public` or `granted`."""

    def __init__(self, channel: Channel, key: ReaderKey | None, start: Start) -> None:
        self.channel = channel
        self._key = key
        self._epochs = [EpochReader(channel, start)]
        self._next_root: bytes | None = None
        self._granted_hash: bytes | None = None
        self._parts: set[int] = set()

    @classmethod
    def public(cls, channel: Channel, epoch: int = 0) -> "ChannelReader":
        """Read a public channel from the beginning of an epoch. Raises InvalidInput for another mode."""
        if channel.mode is not Mode.PUBLIC:
            raise InvalidInput("channel.not_public", f"a {channel.mode} channel is read with a grant")
        reader = cls(channel, None, Start.of_root(epoch, public_root(channel, epoch)))
        reader._next_root = public_root(channel, epoch + 1)
        return reader

    @classmethod
    def granted(cls, channel: Channel, grant: Grant, key: ReaderKey) -> "ChannelReader":
        """Read from where the grant begins; `open_grant` made sure that it is the writer's."""
        if grant.channel != channel.id:
            raise InvalidInput("channel.other_channel", "the grant belongs to another channel")
        start = Start(grant.at, grant.place, grant.wraps, grant.head_key, grant.chain_key, grant.prev_hash)
        reader = cls(channel, key, start)
        reader._next_root = grant.next_root
        reader._granted_hash = grant.next_epoch_key_hash
        return reader

    @property
    def epoch(self) -> int:
        """Give the newest epoch that we can read."""
        return self._epochs[-1].epoch

    def places(self) -> list[bytes]:
        """Give where to look: the newest epoch, the one before, and where the next one shows."""
        places = [epoch.start.place for epoch in self._epochs]
        if self.channel.mode is Mode.RESTRICTED:
            return [*places, self._epochs[-1].start.wraps]
        return places if self._next_root is None else [*places, EpochKeys.of(self._next_root).place]

    def take(self, place: bytes, raw: bytes) -> Outcome:
        """Say what lay at a place.

        Raises IntegrityFailure or InvalidInput for what is not the writer's or not of this place: nothing
        has changed then, and whoever reads goes on with the next packet.
        """
        for epoch in self._epochs:
            if place == epoch.start.place:
                return epoch.take(Packet.parse(raw))
        if self.channel.mode is Mode.RESTRICTED and place == self._epochs[-1].start.wraps:
            return self._take_wraps(raw)
        if self._next_root is not None and place == EpochKeys.of(self._next_root).place:
            return self._take_ahead(Packet.parse(raw), self._next_root)
        raise InvalidInput("channel.other_place", "nothing of this channel is expected there")

    def missing(self) -> list[Missing]:
        """Give what was not seen, oldest first; also the unknown rest of an epoch that has ended."""
        found = []
        for number, epoch in enumerate(self._epochs):
            found += epoch.missing()
            follower = self._epochs[number + 1] if number + 1 < len(self._epochs) else None
            first_hash = follower.first_prev_hash if follower is not None else None
            if first_hash is not None and not epoch.has_seen(first_hash):
                found.append(Missing(epoch.epoch, epoch.next_seq, None))
        return found

    def state(self) -> bytes:
        """Give what `restore` needs; secret."""
        return canonical_cbor(
            {
                "channel": self.channel.id,
                "epochs": [epoch.state() for epoch in self._epochs],
                "next_root": self._next_root,
                "granted_hash": self._granted_hash,
            }
        )

    @classmethod
    def restore(cls, channel: Channel, key: ReaderKey | None, state: bytes) -> "ChannelReader":
        """Go on where `state` was given; raises InvalidInput."""
        fields = CborFields(state)
        if fields.octets("channel", HASH_SIZE) != channel.id:
            raise InvalidInput("channel.other_channel", "the state belongs to another channel")
        raws = [raw for raw in fields.items("epochs") if isinstance(raw, bytes)]
        if not 0 < len(raws) <= _PAST + 1:
            raise InvalidInput("channel.bad_state", "these bytes are no state of a reader")
        epochs = [EpochReader.restore(channel, raw) for raw in raws]
        reader = cls(channel, key, epochs[-1].start)
        reader._epochs = epochs
        reader._next_root = fields.octets_or_none("next_root", KEY_SIZE)
        reader._granted_hash = fields.octets_or_none("granted_hash", HASH_SIZE)
        fields.done()
        return reader

    def _take_wraps(self, raw: bytes) -> Outcome:
        """Read one part of the next epoch's wraps."""
        epoch = self.epoch + 1
        index, parts, wraps = open_part(self.channel, epoch, raw, self._epochs[-1].start.head)
        root = find_root(self.channel, epoch, wraps, self._key) if self._key is not None else None
        if root is None:
            self._parts.add(index)
            return Excluded(epoch) if len(self._parts) >= parts else Waiting(epoch)
        self._require_committed(root)
        self._turn(EpochReader(self.channel, Start.of_root(epoch, root)))
        return Turned(epoch)

    def _take_ahead(self, packet: Packet, root: bytes) -> Outcome:
        """Read a frame of the next epoch, which shows that it has begun."""
        self._require_committed(root)
        ahead = EpochReader(self.channel, Start.of_root(self.epoch + 1, root))
        taken = ahead.take(packet)
        if isinstance(taken, Opened | Repeated | BeforeGrant):
            self._next_root = following_root(self.channel, ahead.epoch, root)
            self._turn(ahead)
        return taken

    def _require_committed(self, root: bytes) -> None:
        """Raise where the writer had announced another root key for the epoch after the newest."""
        newest = self._epochs[-1].newest
        committed = newest.frame.next_epoch_key_hash if newest is not None else self._granted_hash
        if committed not in (None, key_hash(root)):
            raise IntegrityFailure(
                "channel.other_root", "the next epoch's key is not the one that the writer committed to"
            )

    def _turn(self, epoch: EpochReader) -> None:
        self._granted_hash = None
        self._parts.clear()
        self._epochs = [*self._epochs, epoch][-(_PAST + 1) :]
