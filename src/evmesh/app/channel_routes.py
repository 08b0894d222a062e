"""The HTTP API of channels: who reads a session's, and on which a car tells its need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import Field

from evmesh.app.api_models import Body, Hex32, HexSignature, Unix, signature_bytes, unhex
from evmesh.app.callers import require_operator
from evmesh.app.instants import instant
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.signed_types import ChannelAccess
from evmesh.ports import Clock
from evmesh.services.channel_access import ChannelAccesses, SessionChannel
from evmesh.services.channel_needs import CarNeeds

Json = dict[str, Any]
_Grant = Annotated[str, Field(pattern=r"^0x([0-9a-f]{2}){1,2048}$")]
_ReaderParam = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]


class ChannelValues(Body):
    """A channel's description."""

    mode: str
    writer: Hex32
    name: Annotated[str, Field(min_length=1, max_length=64)]

    def to_domain(self) -> Channel:
        """Give the channel."""
        if self.mode not in list(Mode):
            raise InvalidInput(
                "channel.bad_mode", f"there is no mode {self.mode[:20]!r}", path="channel.mode"
            )
        return Channel(Mode(self.mode), unhex(self.writer), self.name)


class AccessBody(Body):
    """The payer's signed ChannelAccess."""

    reader: Hex32
    allowed: bool
    at: Unix
    signature: HexSignature


class RevokeBody(Body):
    """Whom the operator shuts out."""

    reader: Hex32


class NeedBody(Body):
    """The car's channel, a grant for our inbox, and the payer's signed NeedChannel."""

    channel: ChannelValues
    grant: _Grant
    signature: HexSignature


@dataclass(frozen=True, slots=True)
class ChannelParts:
    """What the routes call. `carrier` is the URL of the broker where readers find the channels."""

    accesses: ChannelAccesses
    needs: CarNeeds
    clock: Clock
    writer: bytes
    carrier: str


def channel_routes(parts: ChannelParts) -> Callable[[FastAPI], None]:
    """Give what adds the routes."""

    def add(app: FastAPI) -> None:
        _add_general(app, parts)
        _add_readers(app, parts)

    return add


def _add_general(app: FastAPI, parts: ChannelParts) -> None:
    @app.get("/v1/channels")
    async def channels() -> Json:
        """The operator's keys on channels, and the broker that carries them."""
        return {
            "writer": _hex(parts.writer),
            "inbox": _hex(parts.needs.inbox),
            "carrier": parts.carrier,
        }

    @app.post("/v1/sessions/{id}/need")
    async def need(id: str, body: NeedBody) -> Json:
        """Hear the car of a session on a channel of its own."""
        invitation = Invitation(body.channel.to_domain(), unhex(body.grant))
        await parts.needs.attach(SessionId.parse(id), invitation, signature_bytes(body.signature))
        return {"session": id, "channel": _hex(invitation.channel.id)}

    @app.get("/v1/sessions/{id}/need")
    async def newest_need(id: str) -> Json:
        """What the car of a session said last that it needs."""
        found = parts.needs.of(SessionId.parse(id))
        if found is None:
            raise Refused("need.unheard", "the car has told no need", do="ask again later")
        return {
            "at": instant(found.at),
            "energy_wh": found.energy,
            "soc_percent": found.soc_percent,
            "departure": instant(found.departure),
        }


def _add_readers(app: FastAPI, parts: ChannelParts) -> None:
    def shown(invitation: Invitation) -> Json:
        channel = invitation.channel
        return {
            "channel": {"mode": channel.mode.value, "writer": _hex(channel.writer), "name": channel.name},
            "grant": _hex(invitation.sealed),
            "carrier": parts.carrier,
        }

    @app.post("/v1/sessions/{id}/channels/{channel}/readers")
    async def access(id: str, channel: str, body: AccessBody) -> Json:
        """Let somebody read a channel of a session, or no more, on its payer's signed word."""
        session = SessionId.parse(id)
        word = ChannelAccess(session.to_bytes32(), channel, unhex(body.reader), body.allowed, body.at)
        signature = signature_bytes(body.signature)
        invitation = await parts.accesses.change(session, word, signature, parts.clock.now())
        return {"session": id, "allowed": False} if invitation is None else shown(invitation)

    @app.get("/v1/sessions/{id}/channels/{channel}")
    async def invitation(id: str, channel: str, reader: _ReaderParam) -> Json:
        """The grant of a reader again; it is sealed, so nobody else can use it."""
        wanted = SessionId.parse(id), _known(channel), unhex(reader)
        return shown(await parts.accesses.invitation(*wanted))

    @app.get("/v1/sessions/{id}/channel")
    async def status_channel(id: str, reader: _ReaderParam) -> Json:
        """The same, of the session's status."""
        wanted = SessionId.parse(id), SessionChannel.STATUS, unhex(reader)
        return shown(await parts.accesses.invitation(*wanted))

    @app.post("/v1/sessions/{id}/channels/{channel}/revoke")
    async def revoke(id: str, channel: str, body: RevokeBody, request: Request) -> Json:
        """Shut a reader out, as the operator, who sits at this machine."""
        require_operator(request)
        await parts.accesses.revoke(SessionId.parse(id), _known(channel), unhex(body.reader))
        return {"session": id, "allowed": False}


def _known(channel: str) -> SessionChannel:
    if channel not in list(SessionChannel):
        raise InvalidInput("channel.unknown", f"a session has no channel {channel[:40]!r}", path="channel")
    return SessionChannel(channel)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
