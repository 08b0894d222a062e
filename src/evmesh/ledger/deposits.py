"""The deposit addresses of the EVSEs on chain: what came in, and payments out of them by EIP-3009.

A deposit address never needs gas: its key signs a `transferWithAuthorization`, and the relayer sends
it. The token takes each authorization nonce once, so a payment is made once whatever was forgotten.
Implements the port `DepositChain`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from evmesh.domain.chain import Mined
from evmesh.domain.errors import ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.transfers import PER_ADDRESS, SeenTransfer, TransferRef
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.answers import nonsense
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc, NodeRefused, from_hex
from evmesh.ledger.signatures import compacted, keccak256, split_signature
from evmesh.ledger.token import Token, TransferWithAuthorization
from evmesh.ports import Signer

_log = structlog.get_logger(__name__)
TRANSFER: Final = event_topic("Transfer(address,address,uint256)")
_USED: Final = event_topic("AuthorizationUsed(address,bytes32)")
_PAY: Final = (
    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
_FOR_EVER: Final = 2**256 - 1
NO_EIP3009: Final = "transfer.no_eip3009"
_NOT_THE_CONTRACT: Final = "chain.not_the_contract"
"""An answer that is none of EIP-3009's: as much the token's own as a revert."""

RETURN_GAS: Final = 90_000
"""What a payment by EIP-3009 uses at most, with a new receiver: measured 72,000 to 86,000."""

_WIDEST_SPAN: Final = 2_000
"""Blocks asked for at once; where a node bounds that, fewer and fewer."""

_ADDRESSES_AT_ONCE: Final = 200


class DepositAddresses:
    """Reads and pays for the addresses whose keys are given."""

    def __init__(
        self, rpc: JsonRpc, token: Token, relayer: Relayer, signers: Mapping[Address, Signer]
    ) -> None:
        self._rpc = rpc
        self._token = token
        self._relayer = relayer
        self._signers = signers
        self._span = _WIDEST_SPAN

    async def why_closed(self) -> str:
        """Try a payment of nothing without sending it: empty where the token would take it.

        Only the token's own no closes the way. Raises Unavailable where the node did not ask it.
        """
        for source in self._signers:
            try:
                call = await self._call(source, source, 0, keccak256(b"evmesh.deposit/1:probe"))
                await self._relayer.simulate(self._token.contract, call)
            except Unavailable:
                raise
            except (Refused, ProtocolViolation) as error:
                if isinstance(error, ProtocolViolation) and error.code != _NOT_THE_CONTRACT:
                    raise Unavailable(
                        "chain.busy", f"the node did not ask the token: {error.what}"
                    ) from error
                _log.warning(NO_EIP3009, token=self._token.contract.text, why=error.what)
                return NO_EIP3009
            break
        return ""

    async def head(self) -> int:
        """Give the newest block's number."""
        return await self._rpc.block_number()

    async def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block; None where the chain has none of that number."""
        block = await self._rpc.call("eth_getBlockByNumber", hex(max(0, number)), False)
        return None if block is None else from_hex(block.get("hash"))

    async def block_time(self, number: int) -> datetime | None:
        """Give the time that a block carries; None where the node does not have it any more."""
        try:
            block = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
        except NodeRefused:
            return None
        return None if block is None else datetime.fromtimestamp(_number(block, "timestamp"), UTC)

    async def transfers(self, first: int, last: int) -> tuple[Sequence[SeenTransfer], int]:
        """Give what came from block `first` on, and up to which block that is known, oldest first.

        A node that bounds the range is asked for less; blocks whose logs it has pruned are left out.
        """
        while first <= last:
            reach = min(last, first + self._span - 1)
            try:
                found = await self._logs(first, reach)
            except (NodeRefused, Unavailable) as error:
                if isinstance(error, Unavailable) and error.code != "chain.busy":
                    raise
                if reach > first:
                    self._span = max(1, (reach - first + 1) // 2)
                    continue
                if isinstance(error, Unavailable):
                    raise
                first = await self._first_kept(first, last, error)
                continue
            self._span = min(_WIDEST_SPAN, self._span * 2)
            return found, reach
        return (), last

    async def of_transaction(self, tx_hash: bytes) -> tuple[int, Sequence[SeenTransfer]] | None:
        """Give the block of a transaction and what it brought; None where the chain does not have it."""
        receipt = await self._rpc.call("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        if receipt is None:
            return None
        wanted = {_topic(address) for address in self._signers}
        logs = [
            log
            for log in receipt.get("logs", ())
            if log["address"].lower() == self._token.contract.text
            and len(log["topics"]) == 3
            and log["topics"][0] == TRANSFER
            and log["topics"][2] in wanted
        ]
        block = int(receipt["blockNumber"], 16)
        return block, _seen(logs)

    async def balances(self, addresses: Sequence[Address]) -> Sequence[int]:
        """Read what each holds at the newest block, in one round trip."""
        calls = [(self._token.contract, encode_call("balanceOf(address)", one)) for one in addresses]
        return [int(decode_values(("uint256",), raw)[0]) for raw in await self._rpc.read_many(calls)]

    async def gas_price(self) -> int:
        """Give the price of a unit of gas, in the smallest units of the chain's currency."""
        return int(await self._rpc.call("eth_gasPrice"), 16)

    async def payout_of(self, address: Address, nonce: bytes) -> Mined | None:
        """Give the payment that used a nonce; with an empty hash where no log tells which it was."""
        call = encode_call("authorizationState(address,bytes32)", address, nonce)
        raw = await self._rpc.read(self._token.contract, call)
        if not decode_values(("bool",), raw)[0]:
            return None
        try:
            logs = await self._ask([_USED, _topic(address), "0x" + nonce.hex()], 0, None)
        except (NodeRefused, Unavailable):
            logs = []
        for log in logs:
            return Mined(log["transactionHash"], int(log["blockNumber"], 16), 0)
        return Mined("", 0, 0)

    async def pay(self, source: Address, receiver: Address, amount: int, nonce: bytes, key: str) -> Mined:
        """Pay out of a deposit address; raises Refused with the token's reason."""
        call = await self._call(source, receiver, amount, nonce)
        return await self._relayer.submit(key, self._token.contract, call)

    async def _call(self, source: Address, receiver: Address, amount: int, nonce: bytes) -> bytes:
        order = TransferWithAuthorization(source, receiver, amount, 0, _FOR_EVER, nonce)
        signed = self._signers[source].sign(digest(await self._token.domain(), order, keccak256))
        r, s, parity = split_signature(compacted(signed))
        return encode_call(
            _PAY,
            source,
            receiver,
            amount,
            0,
            _FOR_EVER,
            nonce,
            27 + parity,
            r.to_bytes(32, "big"),
            s.to_bytes(32, "big"),
        )

    async def _logs(self, first: int, last: int) -> list[SeenTransfer]:
        addresses = sorted(self._signers)
        logs: list[dict[str, Any]] = []
        for begin in range(0, len(addresses), _ADDRESSES_AT_ONCE):
            some = [_topic(one) for one in addresses[begin : begin + _ADDRESSES_AT_ONCE]]
            logs += await self._ask([TRANSFER, None, some], first, last)
        return _seen(logs)

    async def _ask(self, topics: Sequence[object], first: int, last: int | None) -> list[dict[str, Any]]:
        wanted = {
            "address": self._token.contract.text,
            "fromBlock": hex(first),
            "toBlock": "latest" if last is None else hex(last),
            "topics": topics,
        }
        logs: list[dict[str, Any]] = await self._rpc.call("eth_getLogs", wanted)
        return [log for log in logs if not log.get("removed")]

    async def _first_kept(self, refused: int, last: int, error: NodeRefused) -> int:
        """Find the oldest block after `refused` whose logs the node has, by halves; raises where none."""
        if refused == last:
            raise error
        low, high = refused, last
        await self._logs(high, high)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                await self._logs(middle, middle)
                high = middle
            except NodeRefused:
                low = middle
        _log.warning("deposits.logs_pruned", first=refused, until=high - 1, why=error.what)
        return high


def _seen(logs: Sequence[dict[str, Any]]) -> list[SeenTransfer]:
    """Read events, oldest first; one of nothing is nothing: anybody can make those in another's name."""
    found: list[SeenTransfer] = []
    ranks: Counter[tuple[bytes, str]] = Counter()
    firsts: dict[tuple[bytes, str], int] = {}
    addresses: Counter[bytes] = Counter()
    for log in sorted(logs, key=lambda log: (_number(log, "blockNumber"), _number(log, "logIndex"))):
        topics, amount = log["topics"], int.from_bytes(from_hex(log["data"]), "big")
        tx_hash = from_hex(log.get("transactionHash"))
        if len(topics) != 3 or len(tx_hash) != 32 or len(from_hex(log["data"])) != 32:
            raise nonsense("eth_getLogs", log)
        if amount == 0:
            continue
        to = (tx_hash, topics[2])
        if to not in firsts:
            firsts[to] = PER_ADDRESS * addresses[tx_hash]
            addresses[tx_hash] += 1
        ref = TransferRef(tx_hash, firsts[to] + ranks[to])
        ranks[to] += 1
        found.append(
            SeenTransfer(
                ref=ref,
                log_index=_number(log, "logIndex"),
                block=_number(log, "blockNumber"),
                sender=_account(topics[1]),
                receiver=_account(topics[2]),
                amount=amount,
            )
        )
    return found


def _number(log: dict[str, Any], key: str) -> int:
    value = log.get(key)
    if not isinstance(value, str) or not value.startswith("0x"):
        raise nonsense("eth_getLogs", log)
    return int(value, 16)


def _account(topic: str) -> Address:
    return Address.from_bytes(from_hex(topic)[-20:])


def _topic(address: Address) -> str:
    return "0x" + address.to_bytes().rjust(32, b"\0").hex()
