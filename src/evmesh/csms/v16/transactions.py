"""A charge begins and ends: the two messages that must not be lost, whatever state they come in.

A station that gets a CALLERROR for a start drops the transaction, and with it the energy. So a
start is always answered with a transaction id or not at all, and both messages are read leniently:
a text that is too long, an unknown member or a number in quotes does not stop them.
"""

import math
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog

from evmesh.csms.v16.authorization import ACCEPTED, INVALID
from evmesh.csms.v16.instants import MalformedInstant, parse_instant
from evmesh.csms.v16.messages import (
    NO_TRANSACTION,
    REGISTER_BOUND,
    Empty,
    StartTransaction,
    StartTransactionConf,
    StopTransaction,
)
from evmesh.csms.v16.peer import Peer, storable
from evmesh.csms.v16.samples import read_readable_samples
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.stations import StartedTransaction, StoppedTransaction

log = structlog.get_logger(__name__)


async def start_transaction(peer: Peer, request: StartTransaction) -> StartTransactionConf:
    """Store the start and answer its id. One that no session stands behind is stored, and Invalid.

    Identity is the content, and the store's to judge: a start that comes again gets the same id.
    Raises Unavailable; any other failure is logged and answered Invalid.
    """
    start = StartedTransaction(
        connector=peer.connector(request.connector_id),
        id_tag=storable(request.id_tag),
        at=_instant(peer, request.timestamp),
        meter_start=request.meter_start,
    )
    try:
        answer = await peer.events.started(start)
    except Unavailable:
        raise
    except EvmeshError as error:
        log.warning(
            "csms.start_not_stored", station=str(peer.station), start=str(start), error=error.describe()
        )
        return refused_start()
    return StartTransactionConf(answer.transaction_id, ACCEPTED if answer.accepted else INVALID)


async def stop_transaction(peer: Peer, request: StopTransaction) -> Empty:
    """Store the end with the samples it carries.

    A transaction that nobody knows is received all the same: sending it again would not help.
    Raises Unavailable where the end is not stored for whatever reason: an answer would be its last trace.
    """
    stop = StoppedTransaction(
        station=peer.station,
        transaction_id=request.transaction_id,
        at=_instant(peer, request.timestamp),
        meter_stop=request.meter_stop,
        reason=storable(request.reason),
        samples=tuple(read_readable_samples(request.transaction_data)),
    )
    try:
        await peer.events.stopped(stop)
    except Unavailable:
        raise
    except EvmeshError as error:
        log.warning("csms.stop_not_stored", station=str(peer.station), stop=str(stop), error=error.describe())
        raise Unavailable("csms.stop_not_stored", f"{peer.station}: {error.what}") from error
    return Empty()


def refused_start() -> StartTransactionConf:
    """Answer a start that cannot be stored: the station stops it, and drops nothing that we hold."""
    return StartTransactionConf(NO_TRANSACTION, INVALID)


def rescue_start(payload: dict[str, Any]) -> StartTransaction | None:
    """Read a start that breaks its schema; None where a needed member is missing or means nothing."""
    return _convert(_mended(payload, "meterStart"), StartTransaction)


def rescue_stop(payload: dict[str, Any]) -> StopTransaction | None:
    """Read a stop that breaks its schema, without its samples where these are what is wrong.

    A register beyond all bounds is brought to the bound: whoever judges it sees that it is none.
    """
    mended = _mended(payload, "meterStop")
    register = mended.get("meterStop")
    if isinstance(register, int):
        mended["meterStop"] = max(-REGISTER_BOUND, min(register, REGISTER_BOUND))
    if not isinstance(mended.get("reason", ""), str):
        del mended["reason"]
    return _convert(mended, StopTransaction) or _convert({**mended, "transactionData": ()}, StopTransaction)


def _mended(payload: dict[str, Any], register: str) -> dict[str, Any]:
    """Replace a timestamp that is no text by an unreadable one, and a broken Wh by its whole part."""
    mended = dict(payload)
    if not isinstance(mended.get("timestamp"), str):
        mended["timestamp"] = ""
    if isinstance(mended.get(register), float):
        mended[register] = math.floor(mended[register])
    return mended


_Message = TypeVar("_Message", StartTransaction, StopTransaction)


def _convert(payload: dict[str, Any], kind: type[_Message]) -> _Message | None:
    try:
        return msgspec.convert(payload, kind, strict=False)
    except msgspec.ValidationError:
        return None


def _instant(peer: Peer, text: str) -> datetime:
    """Give the station's time, or ours where the station's cannot be read: better than no transaction."""
    try:
        return parse_instant(text)
    except MalformedInstant:
        return peer.now()
