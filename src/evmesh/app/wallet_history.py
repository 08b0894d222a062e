"""Every movement of a wallet's money, as a node's logs show it."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from evmesh.app.node_reads import data, logs_of, quantity, time_of, topic_of
from evmesh.app.wallet_money import Coin
from evmesh.app.wallet_options import Json, shown
from evmesh.app.wallet_place import Place
from evmesh.domain.ids import Address
from evmesh.ledger.abi import decode_values, event_topic

_EVENTS: Final[dict[str, tuple[str, int]]] = {
    event_topic("Deposited(address,address,uint256,uint256,uint256)"): ("deposit", 3),
    event_topic("Closed(address,address,uint256,uint256,uint256)"): ("close", 3),
    event_topic("ExitBegun(address,address,uint256,uint256)"): ("exit", 2),
}
"""What a tab logs of one payer, and how many words each has beside payee and payer."""

_TRANSFER: Final = event_topic("Transfer(address,address,uint256)")


@dataclass(frozen=True, slots=True)
class Move:
    """One movement as the chain shows it; `amount` is what was moved, in token units."""

    at: datetime | None
    block: int
    kind: str
    amount: int
    currency: str
    counterparty: str
    transaction: str

    def to_json(self) -> Json:
        return {
            "at": None if self.at is None else self.at.isoformat().replace("+00:00", "Z"),
            "block": self.block,
            "kind": self.kind,
            "amount": str(self.amount),
            "currency": self.currency,
            "with": self.counterparty,
            "transaction": self.transaction,
        }

    def line(self, zone: tzinfo) -> str:
        """Say it to a person, on a clock of that zone."""
        when = "unknown time" if self.at is None else f"{self.at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        who = "newly minted" if int(self.counterparty, 16) == 0 else self.counterparty
        return f"{when:<20}  {self.kind:<9} {shown(str(self.amount), self.currency):>18}  {who}"


async def read_moves_of(place: Place, account: Address) -> list[Move] | None:
    """Give what moved in and out of an account and its tabs, oldest first; None where logs are not kept.

    Of an operator that names FLEX, that as well.
    """
    found = dict[tuple[int, int], tuple[Coin, Json]]()
    for coin in [place.coin] if place.trust.flex is None else [place.coin, (await place.in_flex()).coin]:
        logs = await _logs(place, coin, account)
        if logs is None:
            return None
        found |= {(quantity(log, "blockNumber"), quantity(log, "logIndex")): (coin, log) for log in logs}
    times = dict[int, int | None]()
    moves = []
    for (block, _), (coin, log) in sorted(found.items(), key=lambda one: one[0]):
        if block not in times:
            times[block] = await time_of(place.rpc, block)
        move = _move(coin, account, log, block, times[block])
        if move is not None:
            moves.append(move)
    return moves


async def _logs(place: Place, coin: Coin, account: Address) -> list[Json] | None:
    me = topic_of(account)
    asked: list[tuple[Address, list[Any]]] = [
        (coin.escrow, [list(_EVENTS), [], me]),
        (coin.token, [_TRANSFER, me]),
        (coin.token, [_TRANSFER, [], me]),
    ]
    found = list[Json]()
    for contract, topics in asked:
        logs = await logs_of(place.rpc, contract, 0, _any(topics))
        if logs is None:
            return None
        found += logs
    return found


def _any(topics: list[Any]) -> list[Any]:
    return [None if topic == [] else topic for topic in topics]


def _move(coin: Coin, account: Address, log: Json, block: int, unix: int | None) -> Move | None:
    at = None if unix is None else datetime.fromtimestamp(unix, UTC)
    transaction, topics = "0x" + data(log, "transactionHash").hex(), log["topics"]
    if topics[0] == _TRANSFER:
        sender, receiver = _address(topics[1]), _address(topics[2])
        if coin.escrow in (sender, receiver):
            return None  # the tab's own log tells it
        [amount] = decode_values(("uint256",), data(log, "data"))
        kind, other = ("received", sender) if receiver == account else ("sent", receiver)
        return Move(at, block, kind, amount, coin.symbol, other.text, transaction)
    kind, words = _EVENTS[topics[0]]
    values = decode_values(("uint256",) * words, data(log, "data"))
    amount = {"deposit": values[1], "close": values[-1], "exit": 0}[kind]
    return Move(at, block, kind, amount, coin.symbol, _address(topics[1]).text, transaction)


def _address(topic: str) -> Address:
    return Address.parse("0x" + topic[-40:])
