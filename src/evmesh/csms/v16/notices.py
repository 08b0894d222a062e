"""Messages that are received, and of which nothing follows here."""

import msgspec

from evmesh.csms.v16.messages import DataTransfer, Empty, StatusConf
from evmesh.csms.v16.peer import Peer


class Notice(msgspec.Struct, frozen=True):
    """Any notification whose schema has been checked and whose content is not used."""


async def data_transfer(_peer: Peer, _request: DataTransfer) -> StatusConf:
    """Say that no vendor is known (section 4.3)."""
    return StatusConf("UnknownVendorId")


async def noted(_peer: Peer, _request: Notice) -> Empty:
    """Say that it was received."""
    return Empty()
