"""What cars say that they need, on channels of their own that we were let into.

A need is the car's own word about its session, which the payer has signed to be heard. It takes nothing
from anybody: a car that says it needs less gives back what it was promised beyond that, and one that says
more than it was promised is shown and not planned for.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import CarNeed, Heard
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import TERMINAL, Session
from evmesh.domain.signed_types import NeedChannel
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ports import ChannelStates, ChannelStep, Listening, Signatures
from evmesh.services.directory import Operator
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
OnNeed = Callable[[SessionId, Wh], None]
"""Called with how much a session's car wants in all, from the start of the session on."""

_ROUND_S = 5.0


class CarNeeds:
    """Hears the cars of open sessions. Runs until cancelled."""

    name = "car-needs"

    def __init__(
        self,
        transitions: Transitions,
        listening: Listening,
        states: ChannelStates,
        signatures: Signatures,
        operator: Operator,
        on_need: OnNeed,
    ) -> None:
        self._transitions = transitions
        self._listening = listening
        self._states = states
        self._signatures = signatures
        self._operator = operator
        self._on_need = on_need
        self._newest: dict[SessionId, CarNeed] = {}
        self._heard: set[SessionId] = set()

    @property
    def inbox(self) -> bytes:
        """The key to which a car grants access."""
        return self._listening.inbox

    def of(self, session: SessionId) -> CarNeed | None:
        """Give what a session's car said last."""
        return self._newest.get(session)

    async def attach(self, id: SessionId, invitation: Invitation, signature: bytes) -> None:
        """Hear a session's car from now on; another channel takes the place of the one before.

        Raises IntegrityFailure `need.wrong_signature` or `channel.*`, Refused `need.session_over`.
        """
        session = await self._session(id)
        word = NeedChannel(id.to_bytes32(), invitation.channel.id)
        signed = digest(self._operator.domain, word, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != session.terms.payer:
            raise IntegrityFailure("need.wrong_signature", "the channel is not signed for by the payer")
        if session.state in TERMINAL:
            raise Refused("need.session_over", "the session is over")
        if invitation.channel.mode is Mode.PUBLIC:
            raise Refused(
                "need.public", "a car's need is nobody else's business", do="use a restricted channel"
            )
        await self._listen(id, invitation)
        kept = canonical_cbor([invitation.channel.encode(), invitation.sealed])
        await self._states.keep(ChannelStep({_kept_name(id): kept}))

    async def run(self) -> None:
        """Go on with the cars that were heard before a restart, and leave those whose session is over."""
        for name in await self._states.names(_kept_name(None)):
            id = SessionId.parse(name.removeprefix(_kept_name(None)))
            try:
                await self._resume(id)
            except (IntegrityFailure, InvalidInput) as error:  # as when our key on channels is another now
                _log.warning("need.not_heard", session=id.text, code=error.code, what=error.what)
        moved = self._transitions.moves()
        while True:
            await moved.wait()
            moved.clear()
            for id in list(self._heard):
                await self._leave_if_over(id)
            await asyncio.sleep(_ROUND_S)

    async def _resume(self, id: SessionId) -> None:
        kept = await self._states.state(_kept_name(id))
        if kept is None or id in self._heard:
            return
        match parse_canonical_cbor(kept):
            case [bytes(channel), bytes(sealed)]:
                await self._listen(id, Invitation(Channel.parse(channel), sealed))
            case _:
                raise InvalidInput("channel.bad_state", "these bytes are no invitation")
        newest = await self._states.state(_newest_name(id))
        if newest is not None:
            match parse_canonical_cbor(newest):
                case [bytes(body), int(wanted)]:
                    self._take(id, CarNeed.parse(body), Wh(wanted))
                case _:
                    raise InvalidInput("channel.bad_state", "these bytes are no need of a car")

    async def _listen(self, id: SessionId, invitation: Invitation) -> None:
        await self._listening.listen(f"need {id}", invitation, partial(self._hear, id))
        self._heard.add(id)

    async def _hear(self, id: SessionId, heard: Heard) -> None:
        need = CarNeed.parse(heard.body)
        known = self._newest.get(id)
        if heard.late or (known is not None and need.at < known.at):
            raise Refused("need.overtaken", "the car has said something newer")
        session = await self._session(id)
        if need.at < session.created_at.replace(microsecond=0):
            raise Refused("need.before_session", "the car said that before this session")
        wanted = Wh(session.delivered + need.energy)
        await self._states.keep(ChannelStep({_newest_name(id): canonical_cbor([heard.body, wanted])}))
        self._take(id, need, wanted)

    def _take(self, id: SessionId, need: CarNeed, wanted: Wh) -> None:
        self._newest[id] = need
        self._on_need(id, wanted)
        self._transitions.wake()

    async def _session(self, id: SessionId) -> Session:
        async with self._transitions.read() as unit:
            session = await unit.session(id)
        if session is None:
            raise InvalidInput("session.unknown", f"there is no session {id}")
        return session

    async def _leave_if_over(self, id: SessionId) -> None:
        async with self._transitions.read() as unit:
            session = await unit.session(id)
        if session is not None and session.state not in TERMINAL:
            return
        await self._listening.leave(f"need {id}")
        await self._states.keep(ChannelStep({_kept_name(id): None, _newest_name(id): None}))
        self._heard.discard(id)
        self._newest.pop(id, None)


def _kept_name(id: SessionId | None) -> str:
    return f"car:{id or ''}"


def _newest_name(id: SessionId) -> str:
    return f"need:{id}"
