"""What a node says on a receipt: who owns the asset, what is anchored, what was claimed."""

from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import TreeHead
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.rpc import JsonRpc, NodeRefused
from evmesh.verify.case import ChainFacts

_ANCHORED = "Anchored(address,bytes32,uint256,bytes32)"
_NO_OWNER = Address("0x" + 40 * "0")


async def read_chain_facts(url: str, receipt: Receipt) -> ChainFacts:
    """Ask the node at `url`; raises Unavailable where it is away."""
    chain = receipt.chain
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        if chain_id != chain.chain_id:
            return ChainFacts(chain_id)
        tree, payer = receipt.tree, receipt.request.payer
        try:
            asset, newest, tab = await rpc.read_many(
                [
                    (chain.registry, encode_call("asset(uint256)", receipt.station.asset)),
                    (chain.notary, encode_call("newest(address,bytes32)", tree.publisher, tree.stream)),
                    (chain.charge_tab, encode_call("tab(address,address)", receipt.payee, payer)),
                ]
            )
            facts, place, _ = decode_values(("uint256", "uint256", "bytes32"), asset)
            size, root, _ = decode_values(("uint256", "bytes32", "uint256"), newest)
            spent, _, _, epoch = decode_values(("uint256",) * 4, tab)
        except (Refused, ProtocolViolation):
            return ChainFacts(chain_id)
        owner = Address.from_bytes((facts & (1 << 160) - 1).to_bytes(20, "big"))
        return ChainFacts(
            chain_id=chain_id,
            contracts_answer=True,
            newest_size=size,
            newest_root=root,
            roots=await _roots_at(rpc, chain.notary, tree) if size > tree.size else None,
            owner=None if owner == _NO_OWNER else owner,
            price=place >> 217 & (1 << 32) - 1,
            spent=spent,
            epoch=epoch,
        )


async def _roots_at(rpc: JsonRpc, notary: Address, tree: TreeHead) -> tuple[bytes, ...] | None:
    """Give the roots that logs show at the tree's size; None where the node does not give such logs."""
    publisher = "0x" + tree.publisher.to_bytes().rjust(32, b"\0").hex()
    wanted = {
        "address": notary.text,
        "fromBlock": "0x0",
        "toBlock": "latest",
        "topics": [event_topic(_ANCHORED), publisher, "0x" + tree.stream.hex()],
    }
    try:
        logs = await rpc.call("eth_getLogs", wanted)
        heads = [decode_values(("uint256", "bytes32"), bytes.fromhex(log["data"][2:])) for log in logs]
    except NodeRefused:
        return None
    return tuple(root for size, root in heads if size == tree.size)
