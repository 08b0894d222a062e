"""`MeterNotary`: the newest tree head of each stream. Implements the port Notary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evmesh.domain.chain import Mined
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc, from_hex

MAX_HEADS: Final = 100
ANCHORED: Final = event_topic("Anchored(address,bytes32,uint256,bytes32)")


@dataclass(frozen=True, slots=True)
class Head:
    """A tree head as the chain keeps it; all zero where nothing was anchored."""

    size: int
    root: bytes
    anchored_at: int


@dataclass(frozen=True, slots=True)
class AnchorLog:
    """One anchor in the chain's logs."""

    size: int
    root: bytes
    tx_hash: str
    block: int


class NotaryReader:
    """Reads anybody's heads."""

    def __init__(self, rpc: JsonRpc, contract: Address) -> None:
        self._rpc = rpc
        self.contract = contract

    async def newest(self, publisher: Address, stream: bytes) -> Head:
        """Read the newest head of a stream."""
        raw = await self._rpc.read(self.contract, encode_call("newest(address,bytes32)", publisher, stream))
        size, root, anchored_at = decode_values(("uint256", "bytes32", "uint256"), raw)
        return Head(size, bytes(root), anchored_at)

    async def logs(self, publisher: Address, stream: bytes, from_block: int = 0) -> list[AnchorLog]:
        """Give the anchors of a stream that the node still has logs of, oldest first."""
        found = await self._rpc.call(
            "eth_getLogs",
            {
                "address": self.contract.text,
                "fromBlock": hex(from_block),
                "toBlock": "latest",
                "topics": [ANCHORED, "0x" + (bytes(12) + publisher.to_bytes()).hex(), "0x" + stream.hex()],
            },
        )
        return [_anchor_log(log) for log in found]


class MeterNotary:
    """Anchors our own heads. `from_block` is where the contract was made: no log is older."""

    def __init__(self, reader: NotaryReader, relayer: Relayer, *, from_block: int = 0) -> None:
        self.reader = reader
        self._relayer = relayer
        self._from_block = from_block

    @property
    def publisher(self) -> Address:
        return self._relayer.address

    async def anchor(self, stream: bytes, size: int, root: bytes, key: str) -> Mined:
        """Publish a head. A head that is already there, or older than the newest, is not sent again.

        Then the anchor that covers it is given, found in the logs; its `tx_hash` is empty where the
        node has dropped them. Raises IntegrityFailure `notary.other_root` where another root is
        anchored at this size.
        """
        newest = await self.reader.newest(self.publisher, stream)
        if newest.size < size:
            data = encode_call("anchor(bytes32,uint256,bytes32)", stream, size, root)
            return await self._relayer.submit(key, self.reader.contract, data)
        if newest.size == size and newest.root != root:
            raise _other_root(size)
        return await self._covering(stream, size, root)

    async def anchor_many(self, heads: Sequence[tuple[bytes, int, bytes]], key: str) -> Mined:
        """Publish (stream, size, root) of several streams in one transaction; each has to grow."""
        if not 0 < len(heads) <= MAX_HEADS:
            raise InvalidInput("notary.too_many", f"1 to {MAX_HEADS} heads go into one transaction")
        data = encode_call("anchor_many((bytes32,uint256,bytes32)[])", list(heads))
        return await self._relayer.submit(key, self.reader.contract, data)

    async def head(self, stream: bytes) -> tuple[int, bytes]:
        """Read (size, root) of our newest anchor; (0, zeros) before the first."""
        newest = await self.reader.newest(self.publisher, stream)
        return newest.size, newest.root

    async def _covering(self, stream: bytes, size: int, root: bytes) -> Mined:
        for log in await self.reader.logs(self.publisher, stream, self._from_block):
            if log.size < size:
                continue
            if log.size == size and log.root != root:
                raise _other_root(size)
            receipt = await self._relayer.rpc.call("eth_getTransactionReceipt", log.tx_hash)
            return Mined(log.tx_hash, log.block, int(receipt["gasUsed"], 16) if receipt else 0)
        return Mined("", 0, 0)


def _anchor_log(log: dict[str, str]) -> AnchorLog:
    size, root = decode_values(("uint256", "bytes32"), from_hex(log["data"]))
    return AnchorLog(size, bytes(root), log["transactionHash"], int(log["blockNumber"], 16))


def _other_root(size: int) -> IntegrityFailure:
    return IntegrityFailure(
        "notary.other_root",
        f"another root is anchored at {size} leaves",
        do="the log was changed after it was anchored: find out which copy is the true one",
    )
