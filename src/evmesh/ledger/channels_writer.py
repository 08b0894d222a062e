"""Writes a channel: numbers, encrypts and signs messages, grants access and takes it away.

A writer has no I/O. After each step its `state()` has to be durable before what the step gave is sent:
a writer that forgot a step would sign another message in the same place, which readers take for fraud.
What a step gave is in its state until the next step (`unsent`), so a crash before sending loses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.channel import (
    HASH_SIZE,
    KEY_SIZE,
    MAX_BODY_BYTES,
    MAX_NUMBER,
    NO_HASH,
    PLACE_SIZE,
    SLOTS,
    Channel,
    Mode,
    Position,
)
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.channel_frame import NONCE_SIZE, Frame, Sent
from evmesh.domain.channel_grant import Grant, encode_wraps
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.ledger.channels_grants import seal_grant, seal_part, wrap_root
from evmesh.ledger.channels_keys import (
    EpochKeys,
    WriterKey,
    body_key,
    following_root,
    key_hash,
    next_chain,
    public_root,
)
from evmesh.ledger.channels_statements import make_packet
from evmesh.ports import Randomness

MAX_READERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a writer stands. The epoch's root and the chain keys of what was written are gone."""

    epoch: int
    seq: int
    place: bytes
    wraps: bytes
    head: bytes
    chain: bytes
    prev_hash: bytes
    next_root: bytes


class ChannelWriter:
    """The one writer of a channel. `random` gives nonces and root keys."""

    def __init__(self, channel: Channel, key: WriterKey, random: Randomness) -> None:
        if key.public != channel.writer:
            raise InvalidInput("channel.other_writer", "this key is not that of the channel's writer")
        self.channel = channel
        self._key = key
        self._random = random
        self._readers: list[bytes] = []
        self._unsent: list[Sent] = []
        root = public_root(channel, 0) if channel.mode is Mode.PUBLIC else random(KEY_SIZE)
        self._at = self._begun(0, root, NO_HASH)

    @property
    def next(self) -> Position:
        """Give where the next message will stand."""
        return Position(self._at.epoch, self._at.seq)

    @property
    def places(self) -> tuple[bytes, bytes]:
        """Give where this epoch's frames and the next one's wraps lie.

        Whoever turns the channel notes them, and has the carrier forget them once late readers had time.
        """
        return self._at.place, self._at.wraps

    @property
    def readers(self) -> tuple[bytes, ...]:
        """Give the public keys of who may read a restricted channel now."""
        return tuple(self._readers)

    @property
    def unsent(self) -> tuple[Sent, ...]:
        """Give what the last step gave, to be sent again after a crash: readers take it once only."""
        return tuple(self._unsent)

    def write(self, body: bytes) -> Sent:
        """Make the next message; raises InvalidInput `channel.too_long`, Refused `channel.epoch_full`."""
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput("channel.too_long", f"a message has at most {MAX_BODY_BYTES} bytes")
        at = self._at
        if at.seq == MAX_NUMBER:
            raise Refused("channel.epoch_full", "the epoch has no numbers left", do="begin the next one")
        frame = Frame(self.channel.id, self.next, at.prev_hash, key_hash(at.next_root))
        packet, statement = make_packet(
            self._key,
            frame,
            body,
            nonce=self._random(NONCE_SIZE),
            head_key=at.head,
            body_key=body_key(at.chain),
        )
        self._at = replace(at, seq=at.seq + 1, chain=next_chain(at.chain), prev_hash=statement.hash)
        self._unsent = [Sent(at.place, frame.at.seq % SLOTS, packet.encode())]
        return self._unsent[0]

    def grant(self, reader: bytes) -> bytes:
        """Let a reader read from the next message on, and give the sealed grant to hand over.

        Granting again gives a later start. Raises Refused `channel.public`.
        """
        if self.channel.mode is Mode.PUBLIC:
            raise Refused("channel.public", "everybody can read a public channel", do="give its description")
        at = self._at
        sealed = seal_grant(
            self._key,
            Grant(
                channel=self.channel.id,
                at=self.next,
                chain_key=at.chain,
                head_key=at.head,
                place=at.place,
                wraps=at.wraps,
                prev_hash=at.prev_hash,
                next_epoch_key_hash=key_hash(at.next_root),
                next_root=at.next_root if self.channel.mode is Mode.PRIVATE else None,
            ),
            reader,
        )
        if self.channel.mode is Mode.RESTRICTED and reader not in self._readers:
            if len(self._readers) == MAX_READERS:
                raise Refused("channel.too_many_readers", f"a channel has at most {MAX_READERS} readers")
            self._readers.append(reader)
        return sealed

    def turn(self) -> list[Sent]:
        """Begin the next epoch, under keys and in a place that nothing links to the one before.

        Gives the parts that hand the root key to each reader of a restricted channel; on other channels
        readers need none. They lie where the readers of the epoch before look. Raises Refused
        `channel.epoch_empty` on those others, where nothing was written in this epoch.
        """
        at = self._at
        wraps: list[Sent] = []
        if self.channel.mode is Mode.RESTRICTED:
            sealed = [wrap_root(self.channel, at.epoch + 1, at.next_root, one) for one in self._readers]
            # By their bytes, which are random: the order in which readers were let in is nobody's business.
            wraps = [
                Sent(at.wraps, index, self._sealed_part(at, part))
                for index, part in enumerate(encode_wraps(sorted(sealed)))
            ]
        elif at.seq == 0:
            raise Refused("channel.epoch_empty", "readers find the next epoch by the messages of this one")
        self._at = self._begun(at.epoch + 1, at.next_root, at.prev_hash)
        self._unsent = wraps
        return list(wraps)

    def revoke(self, readers: Sequence[bytes]) -> list[Sent]:
        """Begin an epoch that these cannot read; Refused for another mode or a stranger."""
        if self.channel.mode is not Mode.RESTRICTED:
            raise Refused(
                "channel.cannot_revoke",
                f"who reads a {self.channel.mode} channel reads it for ever",
                do="begin another channel, and grant it to the others",
            )
        if unknown := [one for one in readers if one not in self._readers]:
            raise Refused("channel.no_such_reader", f"{unknown[0].hex()} does not read this channel")
        self._readers = [one for one in self._readers if one not in readers]
        return self.turn()

    def state(self) -> bytes:
        """Give what `restore` needs: secret, and to be durable before anything of this step is sent."""
        at = self._at
        return canonical_cbor(
            {
                "channel": self.channel.id,
                "epoch": at.epoch,
                "seq": at.seq,
                "place": at.place,
                "wraps": at.wraps,
                "head": at.head,
                "chain": at.chain,
                "prev_hash": at.prev_hash,
                "next_root": at.next_root,
                "readers": list[CborValue](self._readers),
                "unsent": [[one.place, one.slot, one.packet] for one in self._unsent],
            }
        )

    @classmethod
    def restore(cls, channel: Channel, key: WriterKey, random: Randomness, state: bytes) -> "ChannelWriter":
        """Go on where `state` was given; raises InvalidInput where it is not this channel's."""
        fields = CborFields(state)
        if fields.octets("channel", HASH_SIZE) != channel.id:
            raise InvalidInput("channel.other_channel", "the state belongs to another channel")
        restored = cls(channel, key, random)
        restored._at = _Standing(
            epoch=fields.whole("epoch", MAX_NUMBER),
            seq=fields.whole("seq", MAX_NUMBER),
            place=fields.octets("place", PLACE_SIZE),
            wraps=fields.octets("wraps", PLACE_SIZE),
            head=fields.octets("head", KEY_SIZE),
            chain=fields.octets("chain", KEY_SIZE),
            prev_hash=fields.octets("prev_hash", HASH_SIZE),
            next_root=fields.octets("next_root", KEY_SIZE),
        )
        for reader in fields.items("readers"):
            if not isinstance(reader, bytes) or len(reader) != KEY_SIZE:
                raise InvalidInput("channel.bad_reader", "a reader's key has 32 bytes", path="readers")
            restored._readers.append(reader)
        for item in fields.items("unsent"):
            match item:
                case [bytes(place), int(slot), bytes(packet)]:
                    restored._unsent.append(Sent(place, slot, packet))
                case _:
                    raise InvalidInput("channel.bad_state", "these bytes are no state of a writer")
        fields.done()
        return restored

    def _sealed_part(self, at: _Standing, part: bytes) -> bytes:
        nonce = self._random(NONCE_SIZE)
        return seal_part(self._key, self.channel, at.epoch + 1, part, nonce=nonce, head_key=at.head)

    def _begun(self, epoch: int, root: bytes, prev_hash: bytes) -> _Standing:
        if epoch >= MAX_NUMBER:
            raise Refused("channel.no_epochs_left", "the channel has had its last epoch", do="begin another")
        keys = EpochKeys.of(root)
        following = following_root(self.channel, epoch, root) or self._random(KEY_SIZE)
        return _Standing(epoch, 0, keys.place, keys.wraps, keys.head, keys.chain, prev_hash, following)
