"""What a node says on the streams of a publisher: the newest heads, and every head that it has logs of."""

from collections.abc import Collection
from typing import Any, Final

from evmesh.app.node_reads import data, logs_of, nonsense, quantity, time_of, topic_of
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import StreamList, StreamProof
from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.rpc import JsonRpc
from evmesh.verify.streams import HeadOnChain, StreamFacts

_ANCHORED: Final = event_topic("Anchored(address,bytes32,uint256,bytes32)")
_NOT_THE_CONTRACT: Final = "chain.not_the_contract"
_MOST_LOGS: Final = 1_000_000


async def read_proof_facts(url: str, proof: StreamProof) -> StreamFacts:
    """Ask the node at `url` for what a proof names; raises Unavailable where it is away."""
    async with JsonRpc(url) as rpc:
        sizes = {part.stream: {part.size} for part in proof.streams}
        return await _read(rpc, proof, sizes)


async def read_list_facts(url: str, listed: StreamList) -> StreamFacts:
    """Ask the node at `url` for all heads of a list's stream; raises Unavailable where it is away."""
    async with JsonRpc(url) as rpc:
        return await _read(rpc, listed, {listed.stream: set()})


async def _read(
    rpc: JsonRpc, document: StreamProof | StreamList, streams: dict[Stream, set[int]]
) -> StreamFacts:
    chain_id = await rpc.chain_id()
    if chain_id != document.chain.chain_id:
        return StreamFacts(chain_id)
    try:
        newest = {stream: await _newest(rpc, document, stream) for stream in streams}
    except (Refused, ProtocolViolation) as error:
        if isinstance(error, ProtocolViolation) and error.code != _NOT_THE_CONTRACT:
            raise
        return StreamFacts(chain_id)
    logs = {stream: await _logs(rpc, document, stream, timed) for stream, timed in streams.items()}
    return StreamFacts(chain_id, True, newest, logs)


async def _newest(rpc: JsonRpc, document: StreamProof | StreamList, stream: Stream) -> HeadOnChain:
    call = encode_call("newest(address,bytes32)", document.publisher, stream.id)
    raw = await rpc.read(document.chain.notary, call)
    size, root, at = decode_values(("uint256", "bytes32", "uint256"), raw)
    return HeadOnChain(size, bytes(root), at)


async def _logs(
    rpc: JsonRpc, document: StreamProof | StreamList, stream: Stream, timed: Collection[int]
) -> tuple[HeadOnChain, ...] | None:
    """Give the heads in the logs; with their blocks' times where their size is in `timed`."""
    topics: list[str | list[str]] = [_ANCHORED, topic_of(document.publisher), "0x" + stream.id.hex()]
    logs = await logs_of(rpc, document.chain.notary, 0, topics)
    if logs is None:
        return None
    if len(logs) > _MOST_LOGS:
        raise nonsense("eth_getLogs")
    return tuple([await _head(rpc, log, timed) for log in logs])


async def _head(rpc: JsonRpc, log: dict[str, Any], timed: Collection[int]) -> HeadOnChain:
    size, root = decode_values(("uint256", "bytes32"), data(log, "data"))
    at = await time_of(rpc, quantity(log, "blockNumber")) if size in timed else None
    return HeadOnChain(size, bytes(root), at)
