"""`AssetStatus`: how assets are, step by step. Implements the port `StatusBoard`."""

from collections.abc import Sequence
from typing import Final

from evmesh.domain.asset_status import (
    MAX_RECORDS,
    StatusRecord,
    pack_states,
    unpack_states,
    words_of,
)
from evmesh.domain.chain import Mined
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc, from_hex
from evmesh.ledger.signatures import keccak256

RECORDED: Final = event_topic("Recorded(address,uint256,uint256)")
_WINDOW: Final = 5_000
"""Blocks that are looked through first: a record is said again every quarter of an hour."""


class StatusReader:
    """Reads what anybody published. `from_block` is where the contract was made: no log is older."""

    def __init__(self, rpc: JsonRpc, contract: Address, *, from_block: int = 0) -> None:
        self.rpc = rpc
        self.contract = contract
        self._from_block = from_block

    async def newest(self, publisher: Address, asset: int) -> StatusRecord | None:
        """Give the newest record that a node still has of an asset, by this publisher."""
        found = await self.recent(publisher, asset)
        return found[-1] if found else None

    async def recent(self, publisher: Address, asset: int) -> tuple[StatusRecord, ...]:
        """Give the records of an asset that a node still has of the last few thousand blocks, oldest first.

        Where there are none, all that it has at all.
        """
        head = await self.rpc.block_number()
        for start in sorted({max(self._from_block, head - _WINDOW), self._from_block}, reverse=True):
            found = await self.rpc.call(
                "eth_getLogs",
                {
                    "address": self.contract.text,
                    "fromBlock": hex(start),
                    "toBlock": "latest",
                    "topics": [RECORDED, _topic(publisher.to_bytes()), _topic(asset.to_bytes(32, "big"))],
                },
            )
            if found:
                words = [int.from_bytes(from_hex(one["data"]), "big") for one in found]
                return tuple(StatusRecord.unpack(word) for word in words)
        return ()

    async def states(self, publisher: Address, area: int, count: int) -> tuple[int, Sequence[int]]:
        """Give the step of a publisher's map, and its first `count` states."""
        call = encode_call("map_words(address,uint256,uint256)", publisher, area, words_of(count))
        [words] = decode_values(("uint256[]",), await self.rpc.read(self.contract, call))
        return unpack_states(list(words), count)

    async def assets_hash(self, publisher: Address, area: int) -> bytes:
        """Give the hash of the list of assets that an area is about; zeros where nothing was said."""
        raw = await self.rpc.read(self.contract, encode_call("assets(address,uint256)", publisher, area))
        return bytes(decode_values(("bytes32",), raw)[0])


class StatusPublisher:
    """Publishes as one account."""

    def __init__(self, reader: StatusReader, relayer: Relayer) -> None:
        self.reader = reader
        self._relayer = relayer

    @property
    def address(self) -> Address:
        """The account that publishes."""
        return self._relayer.address

    async def publish(self, records: Sequence[StatusRecord], key: str) -> Mined:
        """Say how assets are in a step, once per `key`; raises InvalidInput `status.too_many`."""
        if not 0 < len(records) <= MAX_RECORDS:
            raise InvalidInput("status.too_many", f"1 to {MAX_RECORDS} records go into one transaction")
        data = encode_call("publish(uint256[])", [record.pack() for record in records])
        return await self._relayer.submit(key, self.reader.contract, data)

    async def set_states(self, area: int, step: int, states: Sequence[int], key: str) -> Mined:
        """Set the occupancy of an area; raises Refused `status.step_went_back`."""
        data = encode_call("set_map(uint256,uint256[])", area, pack_states(step, states))
        return await self._relayer.submit(key, self.reader.contract, data)

    async def states(self, area: int, count: int) -> tuple[int, Sequence[int]]:
        """Read our own map."""
        return await self.reader.states(self.address, area, count)

    async def name_assets(self, area: int, assets: Sequence[int], key: str) -> Mined | None:
        """Say which assets an area is about, in order; None where that is said already."""
        wanted = assets_hash(assets)
        if await self.reader.assets_hash(self.address, area) == wanted:
            return None
        data = encode_call("name_assets(uint256,bytes32)", area, wanted)
        return await self._relayer.submit(key, self.reader.contract, data)


def assets_hash(assets: Sequence[int]) -> bytes:
    """Give keccak256(abi.encode(uint256[])) of asset numbers in the order of a map."""
    words = [32, len(assets), *assets]
    return keccak256(b"".join(word.to_bytes(32, "big") for word in words))


def _topic(raw: bytes) -> str:
    return "0x" + raw.rjust(32, b"\0").hex()
