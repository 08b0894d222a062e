"""May this tag charge? Asked before a start, and by some stations after a remote start too."""

from evmesh.csms.v16.messages import Authorize, AuthorizeConf, IdTagInfo
from evmesh.csms.v16.peer import Peer, storable

ACCEPTED = IdTagInfo("Accepted")
INVALID = IdTagInfo("Invalid")


async def authorize(peer: Peer, request: Authorize) -> AuthorizeConf:
    """Say Accepted or Invalid; the reasons in between would tell a thief more than a driver."""
    accepted = await peer.events.authorize(peer.station, storable(request.id_tag))
    return AuthorizeConf(ACCEPTED if accepted else INVALID)
