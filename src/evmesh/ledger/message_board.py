"""`MessageBoard`: what accounts say under tags, found without any server of theirs."""

from typing import Final

from evmesh.domain.chain import Mined
from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc, from_hex
from evmesh.ledger.signatures import keccak256

MAX_MESSAGE_BYTES: Final = 2_048
POSTED: Final = event_topic("Posted(address,bytes32,bytes)")
_NOTHING: Final = bytes(32)


class BoardReader:
    """Reads what anybody posted. `from_block` is where the contract was made: no log is older."""

    def __init__(self, rpc: JsonRpc, contract: Address, *, from_block: int = 0) -> None:
        self._rpc = rpc
        self.contract = contract
        self._from_block = from_block

    async def newest_hash(self, sender: Address, tag: bytes) -> bytes | None:
        """Read the keccak-256 of what stands under a tag of this sender; None where nothing does."""
        raw = await self._rpc.read(self.contract, encode_call("newest(address,bytes32)", sender, tag))
        found = bytes(decode_values(("bytes32",), raw)[0])
        return None if found == _NOTHING else found

    async def newest(self, sender: Address, tag: bytes) -> bytes | None:
        """Give what stands under a tag of this sender; None where nothing does.

        The slot says what stands, the logs only say it in words: a log that the slot does not confirm is
        not believed. Raises Unavailable `board.pruned` where no log has the words.
        """
        standing = await self.newest_hash(sender, tag)
        if standing is None:
            return None
        found = await self._rpc.call(
            "eth_getLogs",
            {
                "address": self.contract.text,
                "fromBlock": hex(self._from_block),
                "toBlock": "latest",
                "topics": [POSTED, "0x" + (bytes(12) + sender.to_bytes()).hex(), "0x" + tag.hex()],
            },
        )
        for log in reversed(found):
            body = bytes(decode_values(("bytes",), from_hex(log["data"]))[0])
            if keccak256(body) == standing:
                return body
        raise Unavailable(
            "board.pruned",
            "something stands under this tag, but the node has dropped the words of it",
            do="ask another node, or wait until it is posted again",
        )


class MessageBoard:
    """Posts as one account, and reads anybody's."""

    def __init__(self, reader: BoardReader, relayer: Relayer) -> None:
        self.reader = reader
        self._relayer = relayer

    @property
    def address(self) -> Address:
        """The account that posts."""
        return self._relayer.address

    async def post(self, tag: bytes, body: bytes, key: str) -> Mined:
        """Post in place of what stood there; the same `key` posts once. Say it again with another key.

        Raises InvalidInput `board.bad_length`.
        """
        if not 0 < len(body) <= MAX_MESSAGE_BYTES:
            raise InvalidInput("board.bad_length", f"a message has 1 to {MAX_MESSAGE_BYTES} bytes")
        return await self._relayer.submit(
            key, self.reader.contract, encode_call("post(bytes32,bytes)", tag, body)
        )

    async def withdraw(self, tag: bytes, key: str) -> Mined:
        """Leave nothing standing; raises Refused `board.nothing_posted`."""
        return await self._relayer.submit(key, self.reader.contract, encode_call("withdraw(bytes32)", tag))
