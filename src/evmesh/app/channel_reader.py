"""A driver's side of a session's channel: get in, read what was said, also after days away.

    async for one in read_messages(home, signer, operator, session): print(one.status.reason)

The keys on channels follow from the wallet's signature (`ChannelIdentity.of_wallet`), so a restored wallet
reads as the lost one did. How far it has read is kept in `channels.db` in the wallet's directory, so each
message is given once. The operator's API is asked once for the grant; after that the broker is enough.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from evmesh.app.grid_moves import broker_at
from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import Channel, Missing, Mode
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import MeterData, SessionStatus
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import SessionId
from evmesh.domain.signed_types import ChannelAccess
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.answers import printable
from evmesh.ledger.channels_epoch import Opened
from evmesh.ledger.channels_follow import follow
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_identity import ChannelIdentity
from evmesh.ledger.channels_reader import ChannelReader, Excluded
from evmesh.ledger.signatures import keccak256
from evmesh.ports import ChannelStep, Clock, Signer
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.frame_carrier import MqttFrameCarrier

_TIMEOUT_S: Final = 30.0
_QUIET_S: Final = 1.0
"""So long without a packet, and all that the broker has kept is here."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a session. Exactly one of `status` and `reading` is there."""

    epoch: int
    seq: int
    late: bool
    """One with a higher number came before it."""
    status: SessionStatus | None
    reading: MeterData | None


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more can be read: the session is over, or this reader was shut out."""

    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class OperatorAt:
    """Where an operator's API is, and the domain under which its drivers sign."""

    url: str
    domain: Domain


async def read_messages(
    home: Path,
    signer: Signer,
    operator: OperatorAt,
    session: SessionId,
    clock: Clock,
    *,
    channel: str = "status",
    follow_on: bool = False,
) -> AsyncGenerator[Message | Ended]:
    """Give what a session has said since the last call; with `follow_on` also what it says from now on.

    `home` is the wallet's directory, `signer` its key, `clock` gives the operator's time (the wall's for a
    real one). Raises Refused or InvalidInput in the operator's words, Unavailable `operator.away` or
    `broker.away`, IntegrityFailure where the grant is not the operator's own.
    """
    identity = ChannelIdentity.of_wallet(signer, operator.domain)
    database = Database(f"sqlite+aiosqlite:///{_own_file(home)}")
    try:
        await database.migrate()
        book = ChannelBook(database)
        name = f"{channel} {session}"
        known = await _known(book, name, identity)
        if known is None:
            granted = await _ask(operator, signer, session, channel, identity.reader.public, clock)
            reader = ChannelReader.granted(
                granted.invitation.channel,
                open_grant(granted.invitation.channel, granted.invitation.sealed, identity.reader),
                identity.reader,
            )
            known = _Known(reader, granted.carrier)
            await _keep(book, name, known)
        async with aclosing(_heard(known, book, name, follow_on=follow_on)) as heard:
            async for message in heard:
                yield message
    finally:
        await database.close()


async def allow_reader(
    signer: Signer,
    operator: OperatorAt,
    session: SessionId,
    reader: bytes,
    clock: Clock,
    *,
    channel: str = "readings",
    allowed: bool = True,
) -> Invitation | None:
    """Let somebody else read a session's channel, or no more; give what to hand to that reader."""
    granted = await _say(operator, signer, session, channel, reader, clock, allowed=allowed)
    return None if granted is None else granted.invitation


@dataclass(frozen=True, slots=True)
class _Granted:
    invitation: Invitation
    carrier: str


@dataclass(frozen=True, slots=True)
class _Known:
    """A reader, and the URL of the broker that carries its channel."""

    reader: ChannelReader
    carrier: str


async def _heard(
    known: _Known, book: ChannelBook, name: str, *, follow_on: bool
) -> AsyncGenerator[Message | Ended]:
    """Follow until it is quiet, or for ever; what was given counts as read when the next is asked for."""
    reader = known.reader
    carrier = MqttFrameCarrier(broker_at(known.carrier))
    async with carrier.open() as line, aclosing(follow(reader, line)) as outcomes:
        while True:
            try:
                async with asyncio.timeout(None if follow_on else _QUIET_S):
                    outcome = await anext(outcomes)
            except TimeoutError:
                return
            except StopAsyncIteration:
                return
            match outcome:
                case Opened(at, body, late):
                    status, reading = _parsed(name, body)
                    yield Message(at.epoch, at.seq, late, status, reading)
                case Excluded(_):
                    yield Ended(tuple(reader.missing()))
                    if follow_on:
                        return
                case _:
                    continue
            await _keep(book, name, known)


def _own_file(home: Path) -> Path:
    """Give the file of states, readable by its owner only from its first moment: it holds keys."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "channels.db"
    path.touch(mode=0o600)
    return path


def _parsed(name: str, body: bytes) -> tuple[SessionStatus | None, MeterData | None]:
    if name.startswith("status "):
        return SessionStatus.parse(body), None
    return None, MeterData.parse(body)


async def _known(book: ChannelBook, name: str, identity: ChannelIdentity) -> _Known | None:
    stored = await book.state(f"reader:{name}")
    if stored is None:
        return None
    match parse_canonical_cbor(stored):
        case [bytes(channel), str(carrier), bytes(state)]:
            return _Known(ChannelReader.restore(Channel.parse(channel), identity.reader, state), carrier)
        case _:
            raise InvalidInput(
                "channel.bad_state", "the state of this channel is damaged", do="delete channels.db"
            )


async def _keep(book: ChannelBook, name: str, known: _Known) -> None:
    state = canonical_cbor([known.reader.channel.encode(), known.carrier, known.reader.state()])
    await book.keep(ChannelStep({f"reader:{name}": state}))


async def _ask(
    operator: OperatorAt, signer: Signer, session: SessionId, channel: str, reader: bytes, clock: Clock
) -> _Granted:
    granted = await _say(operator, signer, session, channel, reader, clock, allowed=True)
    if granted is None:
        raise _strange(operator)
    return granted


async def _say(
    operator: OperatorAt,
    signer: Signer,
    session: SessionId,
    channel: str,
    reader: bytes,
    clock: Clock,
    *,
    allowed: bool,
) -> _Granted | None:
    word = ChannelAccess(session.to_bytes32(), channel, reader, allowed, int(clock.now().timestamp()))
    body = {
        "reader": "0x" + reader.hex(),
        "allowed": allowed,
        "at": word.at,
        "signature": "0x" + signer.sign(digest(operator.domain, word, keccak256)).hex(),
    }
    url = f"{operator.url.rstrip('/')}/v1/sessions/{session}/channels/{channel}/readers"
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
            answer = await http.post(url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Unavailable(
            "operator.away",
            f"the operator at {printable(operator.url)} does not answer ({type(error).__name__})",
            do="check the address, or try again later",
        ) from error
    return _granted(operator, answer)


def _granted(operator: OperatorAt, answer: httpx.Response) -> _Granted | None:
    try:
        document: Any = answer.json()
    except (ValueError, RecursionError) as error:
        raise _strange(operator) from error
    if not isinstance(document, dict):
        raise _strange(operator)
    if answer.is_error:
        words = [printable(str(document.get(key, "")), 400) for key in ("code", "title", "do")]
        kind = Unavailable if answer.is_server_error else Refused
        raise kind(words[0] or "operator.refused", words[1] or "the operator refused", do=words[2])
    if document.get("allowed") is False:
        return None
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        described = document["channel"]
        channel = Channel(
            Mode(described["mode"]), bytes.fromhex(described["writer"].removeprefix("0x")), described["name"]
        )
        sealed = bytes.fromhex(document["grant"].removeprefix("0x"))
        return _Granted(Invitation(channel, sealed), str(document["carrier"]))
    raise _strange(operator)


def _strange(operator: OperatorAt) -> ProtocolViolation:
    return ProtocolViolation(
        "operator.not_evmesh",
        f"{printable(operator.url)} does not answer as evmesh does",
        do="check the address",
    )
