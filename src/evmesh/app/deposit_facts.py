"""What a node says on a charge by transfer: the transfers in, and the payments out of the deposit address."""

from collections.abc import Sequence
from typing import Any, Final, get_args

from evmesh.app.node_reads import data, logs_in, logs_of, nonsense, quantity, time_of, topic_of
from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_payment import PaidTransfer
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfers import Purpose, TransferRef, payout_nonce
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.deposits import TRANSFER
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import keccak256
from evmesh.verify.chain_facts import NO_TRANSFER, DepositFacts, MinedCall, ReturnFacts, TransferLog

_USED: Final = event_topic("AuthorizationUsed(address,bytes32)")


async def read_deposit(rpc: JsonRpc, receipt: Receipt, since: int | None) -> DepositFacts | None:
    """Read what a receipt's payment names; None where it has none, or the token does not tell."""
    payment, token = receipt.payment, receipt.chain.token
    if payment is None:
        return None
    return await _deposit(
        rpc, token, payment.deposit_address, payment.opened_by, payment.transfers, since or 0
    )


async def read_return_facts(url: str, word: TransferReturn) -> ReturnFacts:
    """Ask the node at `url`; raises Unavailable where it is away, ProtocolViolation where it is no node."""
    deposit = word.deposit
    since = min((one.block for one in deposit.transfers), default=0)
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        if chain_id != word.chain.chain_id:
            return ReturnFacts(chain_id)
        found = await _deposit(
            rpc, word.chain.token, deposit.address, deposit.opened_by, deposit.transfers, since
        )
        return ReturnFacts(chain_id, found)


async def _deposit(
    rpc: JsonRpc,
    token: Address,
    address: Address,
    opened_by: TransferRef,
    named: Sequence[PaidTransfer],
    since: int,
) -> DepositFacts | None:
    try:
        due_made, due = await _payout(rpc, token, address, "due", opened_by, since)
        return_made, returned = await _payout(rpc, token, address, "return", opened_by, since)
    except (Refused, ProtocolViolation):
        return None
    transfers = await read_transfers(rpc, token, address, named)
    there = [log is not None and log != NO_TRANSFER for log in transfers]
    blocks = {one.block for one, is_there in zip(named, there, strict=True) if is_there}
    times = {block: await time_of(rpc, block) for block in blocks}
    return DepositFacts(
        transfers=transfers,
        due_made=due_made,
        return_made=return_made,
        due=due,
        returned=returned,
        made_at=tuple(times.get(one.block) for one in named),
    )


async def read_payouts(rpc: JsonRpc, settlement: Settlement, hash: bytes) -> MinedCall | None:
    """Give what one transaction paid of a settlement's deposit; None where it is not there.

    Payments of other deposits out of the same address are none of it: where the transaction makes such
    as well, it cannot be told which was which, and it counts as none.
    """
    deposit, token = settlement.deposit, settlement.chain.token
    receipt = await rpc.call("eth_getTransactionReceipt", "0x" + hash.hex())
    if receipt is None or deposit is None:
        return None
    paid = [log for log in _transfers_in(receipt, token) if log.sender == deposit.address]
    own = [
        [_USED, topic_of(deposit.address), "0x" + payout_nonce(purpose, deposit.opened_by, keccak256).hex()]
        for purpose in get_args(Purpose)
    ]
    used = [log for log in logs_in(receipt, token) if log["topics"] in own]
    ours = tuple(paid) if len(used) == len(paid) else ()
    return MinedCall(quantity(receipt, "blockNumber"), quantity(receipt, "status") == 1, (), ours)


async def read_received(
    rpc: JsonRpc, settlement: Settlement
) -> tuple[tuple[TransferLog | None, ...], tuple[TransferLog | None, ...]]:
    """Read the transfers that a settlement names as received, and those that it names as lost."""
    deposit, token = settlement.deposit, settlement.chain.token
    if deposit is None:
        return (), ()
    received = await read_transfers(rpc, token, deposit.address, deposit.transfers)
    return received, await read_transfers(rpc, token, deposit.address, deposit.lost)


async def read_transfers(
    rpc: JsonRpc, token: Address, address: Address, named: Sequence[PaidTransfer]
) -> tuple[TransferLog | None, ...]:
    """Read the transfers to a deposit address that a document names, in order, as `DepositFacts` has them."""
    return tuple([await _transfer(rpc, token, address, one) for one in named])


async def _transfer(rpc: JsonRpc, token: Address, address: Address, one: PaidTransfer) -> TransferLog | None:
    receipt = await rpc.call("eth_getTransactionReceipt", "0x" + one.ref.tx_hash.hex())
    if receipt is None:
        return None
    logs = sorted(logs_in(receipt, token), key=lambda log: quantity(log, "logIndex"))
    brought = [(quantity(log, "logIndex"), _read(log)) for log in logs if log["topics"][:1] == [TRANSFER]]
    ranked = [(index, log) for index, log in brought if log.receiver == address and log.amount]
    if one.ref.rank >= len(ranked):
        return NO_TRANSFER
    index, log = ranked[one.ref.rank]
    same_place = (index, quantity(receipt, "blockNumber")) == (one.log_index, one.block)
    return log if same_place else None  # a block that was made anew gives other numbers to the same event


async def _payout(
    rpc: JsonRpc, token: Address, address: Address, purpose: Purpose, first: TransferRef, since: int
) -> tuple[bool, TransferLog | None]:
    """Tell whether the payment was made, which a slot says for ever, and give it, as long as logs do."""
    nonce = payout_nonce(purpose, first, keccak256)
    call = encode_call("authorizationState(address,bytes32)", address, nonce)
    if not decode_values(("bool",), await rpc.read(token, call))[0]:
        return False, None
    logs = await logs_of(rpc, token, since, [_USED, topic_of(address), "0x" + nonce.hex()])
    for log in logs or ():
        receipt = await rpc.call("eth_getTransactionReceipt", "0x" + data(log, "transactionHash").hex())
        if receipt is not None:
            mine = [one for one in _transfers_in(receipt, token) if one.sender == address]
            return True, mine[0] if len(mine) == 1 else None
    return True, None


def _transfers_in(receipt: Any, token: Address) -> list[TransferLog]:
    return [_read(log) for log in logs_in(receipt, token) if log["topics"][:1] == [TRANSFER]]


def _read(log: Any) -> TransferLog:
    topics = log["topics"]
    if len(topics) != 3 or not all(isinstance(one, str) and len(one) == 66 for one in topics):
        raise nonsense("topics")
    sender, receiver = (Address.parse("0x" + one[-40:]) for one in topics[1:])
    return TransferLog(sender, receiver, int.from_bytes(data(log, "data"), "big"))
