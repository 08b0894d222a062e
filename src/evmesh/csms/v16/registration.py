"""A station says who it is, and that it is alive."""

from evmesh.csms.v16.instants import write_instant
from evmesh.csms.v16.messages import BootNotification, BootNotificationConf, Heartbeat, HeartbeatConf
from evmesh.csms.v16.peer import Peer, Registration, storable
from evmesh.domain.stations import BootInfo


async def boot(peer: Peer, request: BootNotification) -> BootNotificationConf:
    """Accept a station that is ours. A rejected one asks again after the same interval."""
    info = BootInfo(
        vendor=storable(request.charge_point_vendor),
        model=storable(request.charge_point_model),
        serial=storable(request.charge_point_serial_number or request.charge_box_serial_number),
        firmware=storable(request.firmware_version),
    )
    ours = await peer.events.booted(peer.station, info)
    peer.registration = Registration.ACCEPTED if ours else Registration.REJECTED
    return BootNotificationConf(
        status="Accepted" if ours else "Rejected",
        current_time=write_instant(peer.now()),
        interval=peer.config.heartbeat_interval_s,
    )


async def heartbeat(peer: Peer, _request: Heartbeat) -> HeartbeatConf:
    """Give the time, which is what stations set their clock by."""
    return HeartbeatConf(write_instant(peer.now()))
