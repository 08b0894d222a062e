"""Encrypted channels, as services and simulated cars use them: no key and no packet shows here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_frame import Sent
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import Heard

Hear = Callable[[Heard], Awaitable[None]]
"""What to do with a message: it may come a second time after a crash. Raises EvmeshError to refuse it."""


class Broadcasts(Protocol):
    """The channels that one identity writes, each by a name of its own.

    What was said lies where readers find it later too, and goes out when the broker is there again.
    """

    async def begin(self, name: str, mode: Mode = Mode.RESTRICTED) -> Channel:
        """Give the channel of this name; it begins now if it is new."""

    async def admit(self, name: str, reader: bytes) -> bytes:
        """Let the owner of this X25519 key read from the next message on; give the sealed grant.

        A reader that is admitted already gets the grant that it was given. Raises InvalidInput
        `channel.unknown` or `channel.bad_reader`.
        """

    async def say(self, said: Mapping[str, bytes], notes: Mapping[str, bytes] | None = None) -> None:
        """Write one message on each of these channels, in one durable step; `notes` are kept with it."""

    async def revoke(self, name: str, readers: Sequence[bytes]) -> None:
        """Begin an epoch that these cannot read; those who are no readers count for nothing."""

    async def end(self, name: str, forget_at: datetime) -> None:
        """Let nobody read what might follow, and have the carrier forget all of it at an instant."""

    async def readers(self, name: str) -> Sequence[bytes]:
        """Give who may read; nobody where there is no such channel, or it has ended."""

    async def names(self, prefix: str) -> Sequence[str]:
        """Give the channels that have begun and not ended, whose names begin so."""

    async def note(self, name: str) -> bytes | None:
        """Give what was kept beside the messages under this name."""


class Listening(Protocol):
    """The channels of others that we were let into."""

    @property
    def inbox(self) -> bytes:
        """Our X25519 key, which others grant access to."""

    async def listen(self, name: str, invitation: Invitation, hear: Hear) -> None:
        """Hear a channel from where the grant begins, or from where we were when it is known already.

        Raises IntegrityFailure or InvalidInput where the grant is not for us or not the writer's.
        """

    async def leave(self, name: str) -> None:
        """Hear it no more, and forget its keys."""


@dataclass(frozen=True, slots=True)
class ChannelStep:
    """What becomes durable together. A state of None is dropped."""

    states: Mapping[str, bytes | None] = field(default_factory=dict)
    packets: Sequence[Sent] = ()
    """To be carried from here on; each takes the place of the one in its slot before."""
    forget: Mapping[bytes, datetime] = field(default_factory=dict)
    """Places that the carrier is to forget, and when."""


class ChannelStates(Protocol):
    """The secret states of channels' writers and readers, and what is still to be carried."""

    async def state(self, name: str) -> bytes | None: ...

    async def names(self, prefix: str) -> Sequence[str]: ...

    async def keep(self, step: ChannelStep) -> None:
        """Make a step durable, whole or not at all."""

    async def waiting(self, most: int) -> Sequence[tuple[int, Sent]]:
        """Give what is to be carried, oldest first, each with its number."""

    async def carried(self, numbers: Sequence[int]) -> None:
        """Note that these lie at the carrier."""

    async def forgettable(self, now: datetime) -> Sequence[bytes]:
        """Give the places whose time has come."""

    async def forgotten(self, place: bytes) -> None: ...
