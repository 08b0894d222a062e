"""From a CALL to its answer: schema, handler, and what a failure is answered with.

| what fails                        | most messages                   | StartTransaction | StopTransaction |
|-----------------------------------|---------------------------------|------------------|-----------------|
| the schema, but it can be read    | CALLERROR (MeterValues: served) | served           | served          |
| the schema, and it cannot be read | CALLERROR                       | Invalid          | CALLERROR       |
| `events` is Unavailable           | CALLERROR InternalError         | no answer        | no answer       |
| `events` refuses                  | CALLERROR                       | Invalid          | no answer       |

Anything that is not an EvmeshError is a programming error and is not caught.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from evmesh.csms import metrics, schemas
from evmesh.csms.frames import Call, CallError, ErrorCode
from evmesh.csms.schemas import Violation
from evmesh.csms.v16 import messages
from evmesh.csms.v16.authorization import authorize
from evmesh.csms.v16.instants import MalformedInstant
from evmesh.csms.v16.metering import meter_values
from evmesh.csms.v16.notices import Notice, data_transfer, noted
from evmesh.csms.v16.peer import Peer, Registration
from evmesh.csms.v16.registration import boot, heartbeat
from evmesh.csms.v16.status import status_notification
from evmesh.csms.v16.transactions import (
    refused_start,
    rescue_start,
    rescue_stop,
    start_transaction,
    stop_transaction,
)
from evmesh.domain.errors import EvmeshError, Unavailable

log = structlog.get_logger(__name__)

_START: Final = "StartTransaction"
_BOOT: Final = "BootNotification"

_UNTIDY: Final = frozenset({ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, ErrorCode.FORMATION_VIOLATION})
"""An unknown measurand or member: the message can be read without it."""


class Answered(msgspec.Struct, frozen=True):
    """What goes back: a result's payload for the id."""

    id: str
    payload: msgspec.Struct


Reply = Answered | CallError


@dataclass(frozen=True, slots=True)
class _Route:
    request: type[msgspec.Struct]
    handle: Callable[[Peer, Any], Awaitable[msgspec.Struct]]
    rescue: Callable[[dict[str, Any]], msgspec.Struct | None] | None = None
    """Reads a payload that breaks the schema; set for messages that carry transactions."""
    retried: bool = False
    """The station sends it again while it has no answer at all, so that is what a failing store gives."""


def _readable_meter_values(payload: dict[str, Any]) -> messages.MeterValues | None:
    """Read meter values whose only fault is a word or a member that the schema does not know."""
    violation = schemas.check_call("MeterValues", payload)
    if violation is None or violation.code not in _UNTIDY:
        return None
    try:
        return msgspec.convert(payload, messages.MeterValues)
    except msgspec.ValidationError:
        return None


_ROUTES: Final = {
    _BOOT: _Route(messages.BootNotification, boot),
    "Heartbeat": _Route(messages.Heartbeat, heartbeat),
    "StatusNotification": _Route(messages.StatusNotification, status_notification),
    "Authorize": _Route(messages.Authorize, authorize),
    _START: _Route(messages.StartTransaction, start_transaction, rescue_start, retried=True),
    "MeterValues": _Route(messages.MeterValues, meter_values, _readable_meter_values),
    "StopTransaction": _Route(messages.StopTransaction, stop_transaction, rescue_stop, retried=True),
    "DataTransfer": _Route(messages.DataTransfer, data_transfer),
    "DiagnosticsStatusNotification": _Route(Notice, noted),
    "FirmwareStatusNotification": _Route(Notice, noted),
    "LogStatusNotification": _Route(Notice, noted),
    "SecurityEventNotification": _Route(Notice, noted),
    "SignedFirmwareStatusNotification": _Route(Notice, noted),
}


async def answer(peer: Peer, call: Call) -> Reply | None:
    """Serve one CALL; None where the station must not be answered, so that it sends it again."""
    route = _ROUTES.get(call.action)
    if route is None:
        return _unserved(call)
    if peer.registration is Registration.REJECTED and call.action != _BOOT and route.rescue is None:
        # Section 4.2: a rejected station sends nothing else. What it metered is money all the same, so
        # messages about transactions are stored and answered.
        return CallError(call.id, ErrorCode.SECURITY_ERROR, "this station was rejected: boot again")
    request = _read(peer, route, call)
    if isinstance(request, Answered | CallError):
        return request
    try:
        return Answered(call.id, await route.handle(peer, request))
    except MalformedInstant as error:
        return CallError(call.id, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, str(error))
    except Unavailable as error:
        return _not_stored(peer, route, call, error)
    except EvmeshError as error:
        log.warning("csms.refused", station=str(peer.station), action=call.action, error=error.describe())
        return CallError(call.id, ErrorCode.GENERIC_ERROR, error.describe())


def _read(peer: Peer, route: _Route, call: Call) -> msgspec.Struct | Reply:
    """Give the message, or the answer to one that cannot be read."""
    violation = schemas.check_call(call.action, call.payload)
    if violation is None:
        try:
            return msgspec.convert(call.payload, route.request)
        except msgspec.ValidationError as error:  # an integer out of every bound
            violation = Violation(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, "", str(error))
    if route.rescue and (request := route.rescue(call.payload)):
        metrics.TOLERATED.inc()
        log.warning("csms.tolerated", station=str(peer.station), action=call.action, why=str(violation))
        return request
    log.warning("csms.unreadable", station=str(peer.station), action=call.action, why=str(violation))
    if call.action == _START:
        return Answered(call.id, refused_start())
    return CallError(call.id, violation.code, str(violation))


def _unserved(call: Call) -> CallError:
    if schemas.is_action(call.action):
        return CallError(call.id, ErrorCode.NOT_SUPPORTED, f"{call.action} is not served here")
    return CallError(call.id, ErrorCode.NOT_IMPLEMENTED, f"no such action: {call.action[:50]}")


def _not_stored(peer: Peer, route: _Route, call: Call, error: Unavailable) -> CallError | None:
    log.warning("csms.not_stored", station=str(peer.station), action=call.action, error=error.describe())
    if route.retried:
        # A CALLERROR would make the station drop a start. Without any answer it waits for its own
        # timeout and sends the same message again (TransactionMessageAttempts, section 9.1.24).
        metrics.UNANSWERED.inc()
        return None
    return CallError(call.id, ErrorCode.INTERNAL_ERROR, "not stored; send it again")
