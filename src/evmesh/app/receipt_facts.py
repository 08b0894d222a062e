"""What a node and the station's owner say on a receipt: whose the asset is, what was anchored, what claimed.

A node may be anybody's. What it answers is read strictly: where that is no answer the whole reading
ends in ProtocolViolation, where it has no logs (nodes prune them) the facts say so.
"""

from collections.abc import Sequence
from typing import Any, Final

from evmesh.app.asset_fetch import fetch_record
from evmesh.app.deposit_facts import read_deposit, read_payouts, read_received
from evmesh.app.node_reads import block_before, data, logs_of, quantity, time_of, topic_of
from evmesh.app.tab_moves import read_call, read_moves
from evmesh.domain.errors import EvmeshError, ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef, TreeHead
from evmesh.domain.reward import Reward
from evmesh.domain.settlement import Settlement
from evmesh.domain.strict import unix_seconds
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.asset_words import StoredAsset
from evmesh.ledger.flex import FlexReader
from evmesh.ledger.rpc import JsonRpc
from evmesh.verify.chain_facts import (
    Anchor,
    AssetEntry,
    ChainFacts,
    FlexFacts,
    MoneyFacts,
    SettlementFacts,
    TabMove,
)

_ANCHORED: Final = event_topic("Anchored(address,bytes32,uint256,bytes32)")
_UPDATED: Final = event_topic("Updated(uint256,address)")
_NOT_THE_CONTRACT: Final = "chain.not_the_contract"
_MOST_ANCHORS: Final = 100
"""Heads of one size: a notary anchors each once."""

_BEFORE_START_S: Final = 1_200
"""An offer is at most START_WITHIN older than its start; the rest is for clocks that are apart."""


async def read_chain_facts(url: str, receipt: Receipt) -> ChainFacts:
    """Ask the node at `url`; raises Unavailable where it is away, ProtocolViolation where it is no node."""
    chain = receipt.chain
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        if chain_id != chain.chain_id:
            return ChainFacts(chain_id)
        tree, payer = receipt.tree, receipt.request.payer
        try:
            answers = await rpc.read_many(
                [
                    (chain.registry, encode_call("asset(uint256)", receipt.station.asset)),
                    (chain.notary, encode_call("newest(address,bytes32)", tree.publisher, tree.stream)),
                    (chain.escrow, encode_call("tab(address,address)", receipt.payee, payer)),
                ]
            )
            words = decode_values(("uint256", "uint256", "bytes32"), answers[0])
            size, root, newest_at = decode_values(("uint256", "bytes32", "uint256"), answers[1])
            spent, _, _, epoch = decode_values(("uint256",) * 4, answers[2])
            since = await _block_before(rpc, receipt)
            asset = await _asset(rpc, receipt, words, since) if words[0] else None
            money = await _money(rpc, chain)
        except (Refused, ProtocolViolation) as error:
            _require_no_contract(error)
            return ChainFacts(chain_id)
        return ChainFacts(
            chain_id=chain_id,
            contracts_answer=True,
            newest_size=size,
            newest=Anchor(bytes(root), newest_at),
            anchors=await _anchors_at(rpc, chain.notary, tree, since) if size > tree.size else None,
            asset=asset,
            spent=spent,
            epoch=epoch,
            moves=await _moves(rpc, receipt, since),
            deposit=await read_deposit(rpc, receipt, since),
            money=money,
        )


async def read_settlement_facts(url: str, settlement: Settlement) -> SettlementFacts:
    """Ask the node at `url` for the transactions that a settlement names; raises as above."""
    chain, payee, payer = settlement.chain, settlement.payee, settlement.payer
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        if chain_id != chain.chain_id:
            return SettlementFacts(chain_id)
        try:
            tab = await rpc.read(chain.escrow, encode_call("tab(address,address)", payee, payer))
            epoch = decode_values(("uint256",) * 4, tab)[3]
            money = await _money(rpc, chain)
        except (Refused, ProtocolViolation) as error:
            _require_no_contract(error)
            return SettlementFacts(chain_id)
        calls = [
            await read_call(rpc, chain, payee, payer, one.hash)
            if settlement.deposit is None
            else await read_payouts(rpc, settlement, one.hash)
            for one in settlement.transactions
        ]
        transfers, lost = await read_received(rpc, settlement)
        return SettlementFacts(chain_id, True, tuple(calls), epoch, transfers, lost, money)


async def read_flex_facts(url: str, reward: Reward) -> FlexFacts:
    """Ask the node at `url` for the token of a reward and what its holder has of it; raises as above."""
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        if chain_id != reward.chain.chain_id:
            return FlexFacts(chain_id)
        token = FlexReader(rpc, reward.flex)
        try:
            issuer, [made] = await token.issuer(), await token.made([reward.holder])
        except (Refused, ProtocolViolation) as error:
            _require_no_contract(error)
            return FlexFacts(chain_id)
        return FlexFacts(chain_id, True, issuer, made)


async def _money(rpc: JsonRpc, chain: ChainRef) -> MoneyFacts | None:
    """Give what the escrow of another money holds, and whose promise that is; None for the site's own."""
    held = await rpc.read_many([(at, encode_call("token()")) for at in (chain.charge_tab, chain.escrow)])
    own, token = (decode_values(("address",), one)[0] for one in held)
    if own != chain.token:
        raise ProtocolViolation(_NOT_THE_CONTRACT, f"the escrow {chain.charge_tab} holds {own}")
    if chain.paid_in is None:
        return None
    try:
        return MoneyFacts(token, await FlexReader(rpc, token).issuer())
    except (Refused, ProtocolViolation) as error:
        _require_no_contract(error)
        return MoneyFacts(token, None)


async def _moves(rpc: JsonRpc, receipt: Receipt, since: int | None) -> tuple[TabMove, ...] | None:
    """Give how the tab moved; a charge by transfer is in no tab."""
    if receipt.payment is not None:
        return None
    payer, epoch = receipt.request.payer, receipt.offer.epoch
    return await read_moves(rpc, receipt.chain, receipt.payee, payer, epoch, since or 0)


def _require_no_contract(error: Refused | ProtocolViolation) -> None:
    """Raise it again where the node gave no answer, rather than an account that is no such contract."""
    if isinstance(error, ProtocolViolation) and error.code != _NOT_THE_CONTRACT:
        raise error


async def _block_before(rpc: JsonRpc, receipt: Receipt) -> int | None:
    """Give the last block from before the offer; None where the node does not keep blocks for so long."""
    try:
        begun = unix_seconds(Reading.parse(receipt.start.payload).at) - _BEFORE_START_S
    except EvmeshError:
        return None
    return await block_before(rpc, begun)


async def _asset(rpc: JsonRpc, receipt: Receipt, words: Sequence[Any], since: int | None) -> AssetEntry:
    stored, number, registry = (
        StoredAsset.read(words[0], words[1]),
        receipt.station.asset,
        receipt.chain.registry,
    )
    answer = await rpc.read(registry, encode_call("base_url(address)", stored.owner))
    base_url: str = decode_values(("string",), answer)[0]
    record, why = await fetch_record(base_url, number)
    changes = None
    if since is not None:
        changes = await logs_of(rpc, registry, since, [_UPDATED, f"0x{number:064x}"])
    return AssetEntry(
        owner=stored.owner,
        price=stored.price,
        rating=stored.rating,
        record_hash=bytes(words[2]),
        record=record,
        no_record=why,
        changed=None if changes is None else bool(changes),
        deposit_address=stored.deposit_address,
    )


async def _anchors_at(
    rpc: JsonRpc, notary: Address, tree: TreeHead, since: int | None
) -> tuple[Anchor, ...] | None:
    """Give the heads that logs show at the tree's size; None where the node does not give such logs."""
    topics = [_ANCHORED, topic_of(tree.publisher), "0x" + tree.stream.hex()]
    logs = await logs_of(rpc, notary, 0, topics)
    if logs is None and since:
        logs = await logs_of(rpc, notary, since, topics)
    found = list[Anchor]()
    for log in logs or ():
        size, root = decode_values(("uint256", "bytes32"), data(log, "data"))
        if size == tree.size and len(found) < _MOST_ANCHORS:
            found.append(Anchor(bytes(root), await time_of(rpc, quantity(log, "blockNumber"))))
    return None if logs is None else tuple(found)
