"""All channels that one identity writes: durable first, then carried. Implements the port `Broadcasts`.

A step (a message, a revocation) is kept together with its packets before any of them goes out. What is
kept is carried in order when the carrier is there, again after a crash: readers take a packet once only.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import SLOTS, Channel, Mode
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_frame import Sent
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.ledger.channels_keys import WriterKey
from evmesh.ledger.channels_writer import ChannelWriter
from evmesh.ports import ChannelStates, ChannelStep, Checkpoint, Clock, FrameCarrier, FrameLine, Randomness

KEPT_FOR: Final = timedelta(days=7)
"""How long readers who were away find the frames of an epoch after the next one has begun."""

_AT_ONCE: Final = 100
_LOOKS_EVERY_S: Final = 30.0
"""For places whose time has come; packets are carried at once."""


class ChannelDesk:
    """The writers of one key. A service: it carries what was said, until it is cancelled."""

    name = "channel-desk"

    def __init__(
        self,
        key: WriterKey,
        states: ChannelStates,
        carrier: FrameCarrier,
        clock: Clock,
        random: Randomness,
        checkpoint: Checkpoint = lambda _: None,
        *,
        looks_every_s: float = _LOOKS_EVERY_S,
    ) -> None:
        """`looks_every_s` is for a desk that carries what others on the same states have said, too."""
        self._looks_every_s = looks_every_s
        self._begun: set[str] | None = None
        self._key = key
        self._states = states
        self._carrier = carrier
        self._clock = clock
        self._random = random
        self._checkpoint = checkpoint
        self._writers: dict[str, ChannelWriter] = {}
        self._turn = asyncio.Lock()
        self._something = asyncio.Event()
        self._something.set()  # an earlier run may have left packets

    async def run(self) -> None:
        """Carry what is kept, for ever; raises Unavailable `broker.away`."""
        while True:
            self._something.clear()
            if await self._states.waiting(1) or await self._states.forgettable(self._clock.now()):
                async with self._carrier.open() as line:
                    await self._carry(line)
            await self._wait()

    async def carry_once(self) -> None:
        """Carry all that is kept now: for whoever has no service running."""
        async with self._carrier.open() as line:
            await self._empty(line)

    async def begin(self, name: str, mode: Mode = Mode.RESTRICTED) -> Channel:
        """Give the channel of this name; it begins now if it is new. Raises Refused `channel.ended`."""
        async with self._turn:
            writer = await self._find(name)
            if writer is None:
                if await self._states.state(_ended_name(name)) is not None:
                    raise Refused("channel.ended", f"the channel {name} has ended", do="begin another")
                writer = ChannelWriter(Channel(mode, self._key.public, name), self._key, self._random)
                await self._keep({name: writer})
                if self._begun is not None:
                    self._begun.add(name)
            return writer.channel

    async def admit(self, name: str, reader: bytes) -> bytes:
        """Let a reader in from the next message on; one that is in gets the grant that it was given."""
        async with self._turn:
            writer = await self._writer(name)
            noted = await self._states.state(_grant_name(name, reader))
            if noted is not None and reader in writer.readers:
                return noted
            sealed = writer.grant(reader)
            await self._keep({name: writer}, {_grant_name(name, reader): sealed})
            return sealed

    async def say(self, said: Mapping[str, bytes], notes: Mapping[str, bytes] | None = None) -> None:
        """Write one message on each of these channels, in one durable step; `notes` are kept with it."""
        async with self._turn:
            writers = {name: await self._writer(name) for name in said}
            packets = [writers[name].write(body) for name, body in said.items()]
            kept = {_note_name(name): note for name, note in (notes or {}).items()}
            await self._keep(writers, kept, packets)

    async def revoke(self, name: str, readers: Sequence[bytes]) -> None:
        """Begin an epoch that these cannot read; those who are no readers count for nothing."""
        async with self._turn:
            writer = await self._writer(name)
            gone = [one for one in readers if one in writer.readers]
            if gone:
                old, parts = writer.places, writer.revoke(gone)
                await self._keep({name: writer}, _no_grants(name, gone), parts, _forgotten(old, self._late()))

    async def end(self, name: str, forget_at: datetime) -> None:
        """Let nobody read what might follow, and have the carrier forget all of it at an instant."""
        async with self._turn:
            writer = await self._find(name)
            if writer is None:
                return
            old, readers = writer.places, writer.readers
            restricted = writer.channel.mode is Mode.RESTRICTED
            parts = writer.revoke(readers) if restricted and readers else []
            self._writers.pop(name, None)
            gone: dict[str, bytes | None] = {_state_name(name): None, **_no_grants(name, readers)}
            # What is over stays over: begun again, it would contradict what it said before.
            ended = {_ended_name(name): b"ended"}
            await self._states.keep(ChannelStep({**gone, **ended}, parts, _forgotten(old, forget_at)))
            if self._begun is not None:
                self._begun.discard(name)
        self._something.set()

    async def readers(self, name: str) -> Sequence[bytes]:
        """Give who may read; nobody where there is no such channel, or it has ended."""
        async with self._turn:
            writer = await self._find(name)
            return () if writer is None else writer.readers

    async def names(self, prefix: str) -> Sequence[str]:
        """Give the channels that have begun and not ended, whose names begin so."""
        async with self._turn:
            if self._begun is None:
                found = await self._states.names(_state_name(""))
                self._begun = {name.removeprefix(_state_name("")) for name in found}
            return sorted(name for name in self._begun if name.startswith(prefix))

    async def note(self, name: str) -> bytes | None:
        """Give what was kept beside the messages under this name."""
        return await self._states.state(_note_name(name))

    async def _writer(self, name: str) -> ChannelWriter:
        writer = await self._find(name)
        if writer is None:
            raise InvalidInput("channel.unknown", f"we write no channel {name}")
        return writer

    async def _find(self, name: str) -> ChannelWriter | None:
        """Give a writer as it stands in the store. Called under the lock."""
        if name not in self._writers:
            stored = await self._states.state(_state_name(name))
            if stored is None:
                return None
            self._writers[name] = self._restored(stored)
        return self._writers[name]

    def _restored(self, stored: bytes) -> ChannelWriter:
        match parse_canonical_cbor(stored):
            case [bytes(channel), bytes(state)]:
                return ChannelWriter.restore(Channel.parse(channel), self._key, self._random, state)
            case _:
                raise InvalidInput("channel.bad_state", "these bytes are no state of a writer")

    async def _keep(
        self,
        writers: Mapping[str, ChannelWriter],
        notes: Mapping[str, bytes | None] | None = None,
        packets: Sequence[Sent] = (),
        forget: Mapping[bytes, datetime] | None = None,
    ) -> None:
        """Make a step durable. Where that fails the writers are read anew: nothing of the step went out."""
        states: dict[str, bytes | None] = {
            _state_name(name): canonical_cbor([writer.channel.encode(), writer.state()])
            for name, writer in writers.items()
        }
        for name in writers:
            self._writers.pop(name, None)
        await self._states.keep(ChannelStep({**states, **(notes or {})}, packets, forget or {}))
        self._checkpoint("channel.kept")
        self._writers |= writers
        if packets:
            self._something.set()

    async def _carry(self, line: FrameLine) -> None:
        """Carry on one line as long as there is something."""
        while True:
            self._something.clear()
            await self._empty(line)
            if not await self._wait():
                return  # a line that nobody needs is closed

    async def _wait(self) -> bool:
        """Wait until something was said; False where nothing was for a while."""
        try:
            async with asyncio.timeout(self._looks_every_s):
                await self._something.wait()
        except TimeoutError:
            return False
        return True

    async def _empty(self, line: FrameLine) -> None:
        while waiting := await self._states.waiting(_AT_ONCE):
            for _, one in waiting:
                await line.put(one.place, one.slot, one.packet)
            self._checkpoint("channel.carried")
            await self._states.carried([number for number, _ in waiting])
        for place in await self._states.forgettable(self._clock.now()):
            await line.forget(place, SLOTS)
            await self._states.forgotten(place)

    def _late(self) -> datetime:
        return self._clock.now() + KEPT_FOR


def _state_name(name: str) -> str:
    return f"writer:{name}"


def _ended_name(name: str) -> str:
    return f"ended:{name}"


def _note_name(name: str) -> str:
    return f"note:{name}"


def _grant_name(name: str, reader: bytes) -> str:
    return f"grant:{reader.hex()}:{name}"


def _no_grants(name: str, readers: Sequence[bytes]) -> dict[str, bytes | None]:
    return {_grant_name(name, reader): None for reader in readers}


def _forgotten(places: tuple[bytes, bytes], instant: datetime) -> dict[bytes, datetime]:
    return dict.fromkeys(places, instant)
