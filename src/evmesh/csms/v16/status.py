"""A connector says what it does."""

from evmesh.csms.v16.instants import parse_instant
from evmesh.csms.v16.messages import Empty, StatusNotification
from evmesh.csms.v16.peer import Peer, storable
from evmesh.domain.stations import ConnectorStatus

NO_ERROR = "NoError"


async def status_notification(peer: Peer, request: StatusNotification) -> Empty:
    """Pass on the status with the station's own time where it gives one.

    The error is OCPP's code, then what the station adds in its own words; empty for NoError.
    """
    at = peer.now() if request.timestamp is None else parse_instant(request.timestamp)
    await peer.events.status(
        peer.connector(request.connector_id), ConnectorStatus(request.status), _error(request), at
    )
    return Empty()


def _error(request: StatusNotification) -> str:
    if request.error_code == NO_ERROR:
        return ""
    parts = (request.error_code, request.vendor_error_code, request.info)
    return storable(" ".join(part for part in parts if part))
