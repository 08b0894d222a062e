"""All channels that one identity listens to, on one line. Implements the port `Listening`.

What is done with a message is done before the message counts as read: after a crash it may come a second
time, and never not at all. What is forged, repeated or contradicts itself is logged, and heard by nobody.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final

import structlog

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import Heard
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Unavailable
from evmesh.ledger.channels_epoch import Contradicted, Opened, Repeated
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_keys import ReaderKey
from evmesh.ledger.channels_reader import ChannelReader, Excluded, Outcome, Turned, Waiting
from evmesh.ports import ChannelStates, ChannelStep, FrameCarrier, FrameLine, Hear

_log = structlog.get_logger(__name__)
_LONGEST_BODY_SHOWN: Final = 80


@dataclass(slots=True)
class _Ear:
    """One channel, and what to do with its messages."""

    reader: ChannelReader
    grant_hash: bytes
    hear: Hear


class ChannelEars:
    """A service: it hears until it is cancelled."""

    name = "channel-ears"

    def __init__(self, key: ReaderKey, states: ChannelStates, carrier: FrameCarrier) -> None:
        self._key = key
        self._states = states
        self._carrier = carrier
        self._ears: dict[str, _Ear] = {}
        self._new = asyncio.Event()

    @property
    def inbox(self) -> bytes:
        """Our X25519 key, which others grant access to."""
        return self._key.public

    async def listen(self, name: str, invitation: Invitation, hear: Hear) -> None:
        """Hear a channel from where the grant begins, or from where we were when it is known already."""
        fresh = self._granted(invitation)
        grant_hash = hashlib.sha256(invitation.sealed).digest()
        stored = await self._stored(name, invitation.channel, grant_hash)
        self._ears[name] = ear = _Ear(stored or fresh, grant_hash, hear)
        if stored is None:
            await self._keep(name, ear)
        self._new.set()

    async def leave(self, name: str) -> None:
        """Hear it no more, and forget its keys."""
        self._ears.pop(name, None)
        await self._states.keep(ChannelStep({_state_name(name): None}))

    async def run(self) -> None:
        """Hear, for ever; raises Unavailable `broker.away`."""
        await self._read_anew()
        while not self._ears:
            self._new.clear()
            await self._new.wait()
        async with self._carrier.open() as line, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_new(line))
            async for place, packet in line.packets():
                await self._take(line, place, packet)

    def _granted(self, invitation: Invitation) -> ChannelReader:
        channel = invitation.channel
        if channel.mode is Mode.PUBLIC:
            return ChannelReader.public(channel)
        return ChannelReader.granted(channel, open_grant(channel, invitation.sealed, self._key), self._key)

    async def _read_anew(self) -> None:
        """Go on from what is kept: what was taken in an earlier run and not kept has to come again."""
        for name, ear in self._ears.items():
            stored = await self._stored(name, ear.reader.channel, ear.grant_hash)
            ear.reader = stored or ear.reader

    async def _watch_new(self, line: FrameLine) -> None:
        while True:
            self._new.clear()
            for ear in list(self._ears.values()):
                await _watch(line, ear.reader)
            await self._new.wait()

    async def _take(self, line: FrameLine, place: bytes, packet: bytes) -> None:
        for name, ear in list(self._ears.items()):
            if place not in ear.reader.places():
                continue
            try:
                outcome = ear.reader.take(place, packet)
            except (IntegrityFailure, InvalidInput) as error:
                _log.warning("channel.worthless", channel=name, code=error.code, what=error.what)
                continue
            await self._act(name, ear, outcome)
            await _watch(line, ear.reader)

    async def _act(self, name: str, ear: _Ear, outcome: Outcome) -> None:
        match outcome:
            case Opened(at, body, late):
                await _tell(name, ear, Heard(at, body, late))
            case Turned(epoch):
                _log.info("channel.turned", channel=name, epoch=epoch)
            case Excluded(epoch):
                _log.warning("channel.excluded", channel=name, epoch=epoch)
                return  # it may come again with every connection
            case Contradicted(first, second):
                proof = [first.encode().hex(), second.encode().hex()]
                _log.error("channel.contradicted", channel=name, at=_where(outcome), proof=proof)
                return
            case Repeated(_) | Waiting(_):
                return  # each connection brings what lies there again
            case _:
                _log.warning("channel.not_read", channel=name, why=type(outcome).__name__, at=_where(outcome))
                return
        await self._keep(name, ear)

    async def _keep(self, name: str, ear: _Ear) -> None:
        if self._ears.get(name) is ear:  # who has left it meanwhile wants nothing kept
            reader = ear.reader
            state = canonical_cbor([reader.channel.encode(), ear.grant_hash, reader.state()])
            await self._states.keep(ChannelStep({_state_name(name): state}))

    async def _stored(self, name: str, channel: Channel, grant_hash: bytes) -> ChannelReader | None:
        stored = await self._states.state(_state_name(name))
        if stored is None:
            return None
        match parse_canonical_cbor(stored):
            case [bytes(known), bytes(known_hash), bytes(state)] if (
                known == channel.encode() and known_hash == grant_hash
            ):
                key = None if channel.mode is Mode.PUBLIC else self._key
                return ChannelReader.restore(channel, key, state)
        return None  # another channel, or let in anew


async def _tell(name: str, ear: _Ear, heard: Heard) -> None:
    """Hand a message over; one that is refused counts as read."""
    try:
        await ear.hear(heard)
    except Unavailable:
        raise
    except EvmeshError as error:
        _log.warning(
            "channel.refused",
            channel=name,
            epoch=heard.at.epoch,
            seq=heard.at.seq,
            code=error.code,
            what=error.what,
            body=heard.body[:_LONGEST_BODY_SHOWN].hex(),
        )


async def _watch(line: FrameLine, reader: ChannelReader) -> None:
    for place in reader.places():
        await line.watch(place)


def _where(outcome: Outcome) -> list[int] | None:
    at = outcome.second.frame.at if isinstance(outcome, Contradicted) else getattr(outcome, "at", None)
    return None if at is None else [at.epoch, at.seq]


def _state_name(name: str) -> str:
    return f"reader:{name}"
