"""`AssetRegistry`: who runs which asset. Implements the port Registry."""

from typing import Final

from evmesh.domain.chain import Mined
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.station_code import code_of
from evmesh.domain.stations import AssetFacts
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.asset_words import AssetKind, Lifecycle, NewAsset, StoredAsset, facts_word, place_word
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc

_ASSET: Final = ("uint256", "uint256", "bytes32")
_REGISTERED: Final = event_topic("Registered(uint256,address)")
_FOUND_AGAIN_WITHIN: Final = 256


class AssetRegistry:
    """Reads anybody's assets."""

    def __init__(self, rpc: JsonRpc, contract: Address) -> None:
        self._rpc = rpc
        self.contract = contract

    async def find(self, asset: int) -> AssetFacts | None:
        """Read one EVSE; None where the number is not in use, or is no EVSE's."""
        read = await self.read(asset)
        if read is None or read[0].kind != AssetKind.EVSE:
            return None
        stored, record_hash = read
        return AssetFacts(
            asset=asset,
            owner=stored.owner,
            code=code_of(asset),
            rating=stored.rating,
            price=stored.price,
            deposit_address=stored.deposit_address,
            latitude_udeg=stored.latitude_udeg,
            longitude_udeg=stored.longitude_udeg,
            active=stored.lifecycle == Lifecycle.IN_SERVICE,
            record_hash=record_hash,
            base_url=await self.base_url(stored.owner),
        )

    async def read(self, asset: int) -> tuple[StoredAsset, bytes] | None:
        """Read an asset of any kind and its record's hash."""
        raw = await self._rpc.read(self.contract, encode_call("asset(uint256)", asset))
        facts, place, record = decode_values(_ASSET, raw)
        return (StoredAsset.read(facts, place), bytes(record)) if facts else None

    async def newest(self) -> int:
        """Give the newest asset's number; 0 in an empty registry."""
        raw = await self._rpc.read(self.contract, encode_call("newest()"))
        return int.from_bytes(raw, "big")

    async def base_url(self, owner: Address) -> str:
        """Give where an owner serves records and API; empty where nothing was said."""
        raw = await self._rpc.read(self.contract, encode_call("base_url(address)", owner))
        return str(decode_values(("string",), raw)[0])


class AssetOwner:
    """Registers and changes the assets of one account."""

    def __init__(self, registry: AssetRegistry, relayer: Relayer) -> None:
        self.registry = registry
        self._relayer = relayer

    @property
    def address(self) -> Address:
        """The account that owns them."""
        return self._relayer.address

    async def register(self, asset: NewAsset, key: str) -> int:
        """Register an asset and give its number; the same `key` registers once."""
        data = encode_call(
            "register(uint256,uint256,uint256,bytes32)",
            await self.registry.newest(),
            facts_word(asset),
            place_word(asset),
            asset.record_hash,
        )
        mined = await self._submit(key, data)
        receipt = await self._relayer.rpc.call("eth_getTransactionReceipt", mined.tx_hash)
        for log in (receipt or {}).get("logs", ()):
            if log["topics"][0] == _REGISTERED and Address.parse(log["address"]) == self.registry.contract:
                return int(log["topics"][1], 16)
        return await self._find_again(asset)

    async def set_price(self, asset: int, price: Price, key: str) -> Mined:
        """Set the price per kWh of an asset of ours."""
        return await self._submit(key, encode_call("set_price(uint256,uint256)", asset, price))

    async def set_lifecycle(self, asset: int, lifecycle: Lifecycle, key: str) -> Mined:
        """Say that an asset of ours is in service, or no more."""
        return await self._submit(key, encode_call("set_lifecycle(uint256,uint256)", asset, int(lifecycle)))

    async def set_record(self, asset: int, record_hash: bytes, key: str) -> Mined:
        """Set the hash of the full record of an asset of ours."""
        return await self._submit(key, encode_call("set_record(uint256,bytes32)", asset, record_hash))

    async def update(self, asset: int, new: NewAsset, key: str) -> Mined:
        """Replace everything that is known of an asset of ours; its kind stays."""
        signature = "update(uint256,uint256,uint256,bytes32)"
        data = encode_call(signature, asset, facts_word(new), place_word(new), new.record_hash)
        return await self._submit(key, data)

    async def set_base_url(self, url: str, key: str) -> Mined:
        """Say where our records and our API are."""
        return await self._submit(key, encode_call("set_base_url(string)", url))

    async def _submit(self, key: str, data: bytes) -> Mined:
        return await self._relayer.submit(key, self.registry.contract, data)

    async def _find_again(self, asset: NewAsset) -> int:
        """Find what was registered long ago, on a chain that has dropped the receipt."""
        newest = await self.registry.newest()
        for number in range(newest, max(0, newest - _FOUND_AGAIN_WITHIN), -1):
            read = await self.registry.read(number)
            if read and read[0].owner == self._relayer.address and read[1] == asset.record_hash:
                return number
        raise IntegrityFailure(
            "registry.lost",
            "an asset that was registered is not in the registry",
            do="check that contracts.json and the chain belong together",
        )
