"""Samples while a charge runs, or by the clock."""

from evmesh.csms.v16.messages import Empty, MeterValues
from evmesh.csms.v16.peer import Peer
from evmesh.csms.v16.samples import read_samples


async def meter_values(peer: Peer, request: MeterValues) -> Empty:
    """Pass on what can be used; a message without any such number is received all the same."""
    samples = tuple(read_samples(request.meter_value))
    if samples:
        await peer.events.metered(peer.connector(request.connector_id), request.transaction_id, samples)
    return Empty()
