"""Who may read a session's channels: whom its payer names, by a signed word, until it says otherwise."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import TERMINAL, Session
from evmesh.domain.signed_types import ChannelAccess
from evmesh.domain.typed_data import digest
from evmesh.ports import Broadcasts, Signatures
from evmesh.services.directory import Operator
from evmesh.services.transitions import Transitions

_WORD_VALID_S: Final = 600
MOST_READERS: Final = 16
"""Of one channel of a session: each is wrapped a key with every new epoch."""


class SessionChannel(StrEnum):
    """What a session tells."""

    STATUS = "status"
    """State, power, energy, cost, finish time, reason."""
    READINGS = "readings"
    """Every reading of the meter, with what proves it."""

    def name_of(self, session: SessionId) -> str:
        """Give the channel's name, which only its readers see."""
        return f"{self.value} {session}"


class ChannelAccesses:
    """Grants and revokes. It writes nothing itself: `channel_sessions.py` does."""

    def __init__(
        self,
        transitions: Transitions,
        broadcasts: Broadcasts,
        signatures: Signatures,
        operator: Operator,
    ) -> None:
        self._transitions = transitions
        self._broadcasts = broadcasts
        self._signatures = signatures
        self._operator = operator

    async def change(
        self, id: SessionId, access: ChannelAccess, signature: bytes, now: datetime
    ) -> Invitation | None:
        """Do as the payer says; give the invitation where a reader is let in.

        Raises IntegrityFailure `channel.wrong_signature`, InvalidInput `channel.stale_word`, Refused
        `channel.session_over`, `channel.older_word` or `channel.too_many_readers`.
        """
        channel = _channel(access.channel)
        session = await self._session(id)
        signed = digest(self._operator.domain, access, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != session.terms.payer:
            raise IntegrityFailure("channel.wrong_signature", "the word is not signed by the payer")
        if abs(now.timestamp() - access.at) > _WORD_VALID_S:
            raise InvalidInput(
                "channel.stale_word", "the word was signed for another time", do="sign it anew"
            )
        await self._require_newest(channel.name_of(id), access)
        if access.allowed:
            return await self._admit(session, channel, access)
        await self._note(channel.name_of(id), access)
        await self.revoke(id, channel, access.reader)
        return None

    async def invitation(self, id: SessionId, channel: SessionChannel, reader: bytes) -> Invitation:
        """Give a reader its grant again, which nobody else can open; Refused `channel.not_a_reader`."""
        name = channel.name_of(id)
        if reader not in await self._broadcasts.readers(name):
            raise Refused(
                "channel.not_a_reader",
                "this key does not read the channel, or the session is over",
                do="have the session's payer sign a ChannelAccess for it",
            )
        return Invitation(await self._broadcasts.begin(name), await self._broadcasts.admit(name, reader))

    async def revoke(self, id: SessionId, channel: SessionChannel, reader: bytes) -> None:
        """Let a reader read nothing of what follows: the payer's right, and the operator's."""
        name = channel.name_of(id)
        if await self._broadcasts.readers(name):
            await self._broadcasts.revoke(name, [reader])

    async def _admit(
        self, session: Session, channel: SessionChannel, access: ChannelAccess
    ) -> Invitation | None:
        if session.state in TERMINAL:
            raise Refused(
                "channel.session_over", "the session is over, and says nothing more", do="fetch its receipt"
            )
        name = channel.name_of(session.id)
        readers = await self._broadcasts.readers(name)
        if access.reader not in readers and len(readers) >= MOST_READERS:
            raise Refused("channel.too_many_readers", f"{MOST_READERS} read this channel already")
        opened = await self._broadcasts.begin(name)
        sealed = await self._broadcasts.admit(name, access.reader)
        await self._note(name, access)
        self._transitions.tell()  # so that the newcomer hears how things are
        return Invitation(opened, sealed)

    async def _session(self, id: SessionId) -> Session:
        async with self._transitions.read() as unit:
            session = await unit.session(id)
        if session is None:
            raise InvalidInput("session.unknown", f"there is no session {id}")
        return session

    async def _require_newest(self, name: str, access: ChannelAccess) -> None:
        """Refuse a word that an older or a later one of the payer has overtaken: it is a replay."""
        noted = await self._broadcasts.note(_word_name(name, access.reader))
        if noted is None:
            return
        match parse_canonical_cbor(noted):
            case [int(at), int(allowed)] if at > access.at or (at == access.at and allowed != access.allowed):
                raise Refused(
                    "channel.older_word", "the payer has said otherwise since", do="sign a new word"
                )

    async def _note(self, name: str, access: ChannelAccess) -> None:
        word = canonical_cbor([access.at, int(access.allowed)])
        await self._broadcasts.say({}, {_word_name(name, access.reader): word})


def _channel(text: str) -> SessionChannel:
    if text not in list(SessionChannel):
        raise InvalidInput("channel.unknown", f"a session has no channel {text[:40]!r}", path="channel")
    return SessionChannel(text)


def _word_name(name: str, reader: bytes) -> str:
    return f"access {reader.hex()} {name}"
