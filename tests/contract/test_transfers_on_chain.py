"""Payment by plain transfer on a real chain with a real token: a wallet that nobody knows, and attacks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evmesh.app.deposit_facts import read_deposit, read_payouts, read_received
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfers import payout_nonce
from evmesh.ledger.abi import encode_call
from evmesh.ledger.deposits import RETURN_GAS, DepositAddresses
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.token import Token
from evmesh.verify.chain_facts import ChainFacts, SettlementFacts
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from tests.contract.deposit_places import (
    ChainPlace,
    FickleNode,
    chain_place,
    derived_signers,
    real_place,
    sender_key,
)
from tests.fakes.world import OPERATOR, SIGNATURES, World, eventually, open_world, running

EURO = 1_000_000
_LONG = timedelta(minutes=3)
"""Longer than money waits for a station that is away."""

PLAIN_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
from lib import signed_token as base

initializes: base
exports: (base.balanceOf, base.totalSupply, base.name, base.version, base.decimals, base.transfer)

@deploy
def __init__():
    base.__init__("Plain", "PLN")
    base._mint(msg.sender, 10 ** 12)
"""
"""An ERC-20 that nobody can move by a signature."""

SKIMMING_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
from lib import signed_token as base

initializes: base
exports: (
    base.balanceOf, base.totalSupply, base.name, base.version, base.decimals, base.DOMAIN_SEPARATOR,
    base.transferWithAuthorization, base.authorizationState
)

@deploy
def __init__():
    base.__init__("Skim", "SKM")
    base._mint(msg.sender, 10 ** 12)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    base._transfer(msg.sender, receiver, amount)
    base.balanceOf[receiver] -= amount // 10
    return True
"""
"""It announces the whole amount, and keeps a tenth."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[ChainPlace]:
    async with real_place(tmp_path / "ledger") as opened:
        yield opened


@asynccontextmanager
async def world_at(place: ChainPlace, directory: Path, from_block: int = 0) -> AsyncIterator[World]:
    async with open_world(
        directory,
        bays=2,
        real_deposits=place.chain,
        deposit_addresses=place.addresses,
        from_block=from_block,
    ) as world:
        yield world


@pytest.fixture
async def world(place: ChainPlace, tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "world").mkdir()
    async with world_at(place, tmp_path / "world") as opened:
        yield opened


async def seen(world: World) -> None:
    await world.watch.look()
    await world.transfers.decide()


async def only(world: World) -> Session:
    (session,) = await world.sessions(open_only=False)
    return session


async def charged(world: World, wh: int) -> Session:
    session = await only(world)
    await world.begin(session)
    session = await world.now(session)
    session = await world.end(session, (session.meter_start or 0) + wh)
    async with running(world.effects):
        return await world.settled(session)


async def test_a_wallet_that_nobody_knows_starts_a_charge_and_gets_the_remainder(
    world: World, place: ChainPlace
) -> None:
    sender, receiver = place.sender("stranger"), place.addresses[0]
    await place.send("stranger", receiver, 5 * EURO)
    before = await place.balance(sender)
    await seen(world)
    fee = (await world.transfers.quote()).fee
    done = await charged(world, 4_000)
    assert (done.state, done.due) == (State.SETTLED, 1_400_000)
    assert await place.balance(sender) - before == 5 * EURO - 1_400_000 - fee
    assert await place.balance(OPERATOR.payee.address) == 1_400_000 + fee
    assert await place.balance(receiver) == 0
    used = await place.ledger.rpc.call("eth_getBalance", receiver.text, "latest")
    assert int(used, 16) == 0  # a deposit address never needs gas


class Crash(BaseException):
    """The process dies here."""


STEPS = (
    "transfers:after_commit",
    "start:after_commit",
    "relayer.signed",
    "relayer.written",
    "relayer.sent",
    "relayer.mined",
    "deposit.due:after_send",
    "deposit.noted",
    "deposit.return:after_send",
    "pay_out:after_send",
    "settle:before_commit",
)


async def test_a_crash_at_any_step_loses_nothing_and_pays_nothing_twice(
    place: ChainPlace, tmp_path: Path
) -> None:
    """One chain, and for each step a platform that dies there and comes back on what is on disk."""
    for number, step in enumerate(STEPS):
        (directory := tmp_path / str(number)).mkdir()
        died: list[str] = []

        def crash(name: str, step: str = step, died: list[str] = died) -> None:
            if died or name == step:
                died.append(name)
                raise Crash

        from_block = await place.chain.head() + 1
        sender, paid = place.sender(step), await place.balance(OPERATOR.payee.address)
        await place.send(step, place.addresses[0], 5 * EURO)
        before = await place.balance(sender)
        doomed = chain_place(place.ledger, checkpoint=crash)
        async with world_at(doomed, directory, from_block) as world:
            world.transitions.checkpoint = crash
            fee = (await world.transfers.quote()).fee
            with pytest.raises((Crash, BaseExceptionGroup)):
                await whole_charge(world, died)
        assert died[0] == step
        async with world_at(chain_place(place.ledger), directory, from_block) as world:
            await whole_charge(world, [])
            await whole_charge(world, [])
            assert (await only(world)).state is State.SETTLED, step
        returned = await place.balance(sender) - before
        assert returned == 5 * EURO - 1_400_000 - fee, step
        assert await place.balance(OPERATOR.payee.address) - paid == 1_400_000 + fee, step
        assert await place.balance(place.addresses[0]) == 0, step


async def whole_charge(world: World, died: list[str]) -> None:
    """Go on from wherever this stands, until all is paid or the process has died."""
    await seen(world)
    for session in await world.sessions():
        if session.state is State.STARTING:
            await world.begin(session)
        session = await world.now(session)
        if session.state is State.CHARGING:
            await world.end(session, (session.meter_start or 0) + 4_000)

    async def done() -> bool:
        return bool(died) or await world.owes_nothing()

    async with running(world.effects):
        await eventually(done, 30)


async def test_the_stated_gas_of_a_return_is_enough(world: World, place: ChainPlace) -> None:
    ref = await place.send("stranger", place.addresses[0], EURO)
    newcomer = Address("0x" + "ab" * 20)  # the dearest: an account that never had any
    nonce = payout_nonce("return", ref, keccak256)
    mined = await place.chain.pay(place.addresses[0], newcomer, EURO // 2, nonce, "return:x")
    assert 0.7 * RETURN_GAS < mined.gas_used <= RETURN_GAS


async def test_the_documents_hold_against_the_chain(world: World, place: ChainPlace) -> None:
    await place.send("stranger", place.addresses[0], 5 * EURO)
    await seen(world)
    done = await charged(world, 4_000)
    raw = await world.document(done, Receipt.FORMAT)
    receipt, token = Receipt.parse(raw), place.token.contract
    named = replace(receipt, chain=replace(receipt.chain, token=token))
    deposit = await read_deposit(place.ledger.rpc, named, 0)
    assert deposit is not None
    facts = ChainFacts(receipt.chain.chain_id, contracts_answer=True, deposit=deposit)
    checks = {one.name: one for one in verify_receipt(raw, SIGNATURES, world.trust(), chain=facts).checks}
    assert checks["vouchers"].status is Status.OK, checks["vouchers"]
    assert checks["settlement"].status is Status.OK, checks["settlement"]
    assert checks["fee"].status is Status.OK, checks["fee"]
    settlement = Settlement.parse(await world.document(done, Settlement.FORMAT))
    on_chain = replace(settlement, chain=replace(settlement.chain, token=token))
    calls = [await read_payouts(place.ledger.rpc, on_chain, one.hash) for one in settlement.transactions]
    received = await read_received(place.ledger.rpc, on_chain)
    assert sum(one.amount for one in received[0] if one is not None) == 5 * EURO
    report = verify_settlement(
        settlement.encode(),
        SIGNATURES,
        raw,
        world.trust(),
        SettlementFacts(receipt.chain.chain_id, True, tuple(calls), 0, *received),
    )
    assert report.ok, report
    assert {one.status for one in report.checks} == {Status.OK}
    offline = {one.name: one.status for one in verify_receipt(raw, SIGNATURES, world.trust()).checks}
    assert (offline["vouchers"], offline["settlement"]) == (Status.NOT_CHECKED,) * 2


async def test_transfers_of_another_token_or_of_nothing_start_nothing(
    world: World, place: ChainPlace
) -> None:
    other = await place.other_token("thief")
    await place.send("thief", place.addresses[0], 50 * EURO, token=other)
    await place.send("thief", place.addresses[0], 0)
    poison = encode_call(
        "transferFrom(address,address,uint256)", place.sender("victim"), place.addresses[0], 0
    )
    wallet = place.ledger.relayer(sender_key("thief"))
    await wallet.submit("poison", place.token.contract, poison)  # an event in the victim's name
    await seen(world)
    assert await world.sessions(open_only=False) == []
    async with world.database.begin() as unit:
        assert (await unit.waiting_transfers(), await unit.transfers_aside()) == ([], [])


async def test_dust_uses_no_gas_of_ours(world: World, place: ChainPlace) -> None:
    least = (await world.transfers.quote()).minimum
    for _ in range(3):
        await place.send("thief", place.addresses[0], least // 4)
    await seen(world)
    await world.returns.look()
    assert await place.ledger.journal.unmined(place.ledger.keys.relayer.address) == []
    nonce = await place.ledger.rpc.call(
        "eth_getTransactionCount", place.ledger.keys.relayer.address.text, "latest"
    )
    assert int(nonce, 16) == 0
    assert await world.sessions(open_only=False) == []


async def test_a_token_that_keeps_a_part_starts_nothing(place: ChainPlace, tmp_path: Path) -> None:
    skimming = await place.other_token("stranger", SKIMMING_TOKEN)
    chain_id = place.ledger.deployment.contracts.chain_id
    token = Token(place.ledger.rpc, skimming, chain_id)
    relayer = place.ledger.relayer(place.ledger.keys.relayer)
    chain = DepositAddresses(place.ledger.rpc, token, relayer, derived_signers())
    (tmp_path / "world").mkdir()
    async with world_at(replace(place, chain=chain), tmp_path / "world") as world:
        await place.send("stranger", place.addresses[0], 50 * EURO, token=skimming)
        await seen(world)
        assert await world.sessions(open_only=False) == []
        async with world.database.begin() as unit:
            assert [one.aside for one in await unit.transfers_aside()] == ["short"]


async def test_a_token_without_eip_3009_is_said_at_the_start_and_offers_no_transfer(
    place: ChainPlace, tmp_path: Path
) -> None:
    plain = await place.other_token("stranger", PLAIN_TOKEN)
    token = Token(place.ledger.rpc, plain, place.ledger.deployment.contracts.chain_id)
    relayer = place.ledger.relayer(place.ledger.keys.relayer)
    chain = DepositAddresses(place.ledger.rpc, token, relayer, derived_signers())
    (tmp_path / "world").mkdir()
    async with world_at(replace(place, chain=chain), tmp_path / "world") as world:
        await place.send("stranger", place.addresses[0], 50 * EURO, token=plain)
        with capture_logs() as logs:
            await seen(world)
        assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["transfer.no_eip3009"]
        assert (await world.transfers.quote()).closed == "transfer.no_eip3009"
        assert await world.sessions(open_only=False) == []


@pytest.mark.parametrize("busy", [False, True])
async def test_a_node_that_bounds_the_range_of_logs_is_asked_for_less(place: ChainPlace, busy: bool) -> None:
    refs = [await place.send("stranger", place.addresses[0], EURO) for _ in range(6)]
    async with FickleNode(place.ledger.rpc.url, widest=3, busy=busy) as node:
        chain = chain_place(place.ledger, node).chain
        found, first, last = [], 1, await chain.head()
        while first <= last:
            seen, reached = await chain.transfers(first, last)
            found += [one.ref for one in seen]
            first = reached + 1
        assert found == refs
        assert max(last - first + 1 for first, last in node.asked[-5:]) <= 6


async def test_logs_that_were_pruned_while_we_were_away_leave_money_flagged_and_not_lost(
    place: ChainPlace, tmp_path: Path
) -> None:
    missed = await place.send("stranger", place.addresses[0], 2 * EURO)
    pruned = int((await place.ledger.rpc.call("eth_blockNumber")), 16) + 1
    await place.send("neighbour", place.addresses[1], 3 * EURO)
    (tmp_path / "world").mkdir()
    async with FickleNode(place.ledger.rpc.url, pruned_before=pruned) as node:
        away = chain_place(place.ledger, node)
        async with world_at(away, tmp_path / "world") as world:
            await seen(world)
            for _ in range(2):
                await world.watch.compare()
                await place.send("neighbour", Address("0x" + "5e" * 20), 1)  # time passes
                await seen(world)
            await world.watch.compare()
            async with world.database.begin() as unit:
                assert await unit.transfers_in(missed.tx_hash) == []
                assert await unit.unseen() == {1: 2 * EURO}
            assert (await only(world)).terms.asset == 2


async def test_a_transfer_that_the_chain_takes_back_is_not_counted(world: World, place: ChainPlace) -> None:
    await place.send("stranger", Address("0x" + "5e" * 20), 1)  # the wallet is filled
    await seen(world)
    rpc = place.ledger.rpc
    before = await rpc.call("evm_snapshot")
    ref = await place.send("stranger", place.addresses[0], 3 * EURO)
    await seen(world)
    session = await only(world)
    assert session.state is State.STARTING
    await rpc.call("evm_revert", before)
    await seen(world)
    async with world.database.begin() as unit:
        (lost,) = await unit.transfers_in(ref.tx_hash)
    assert lost.aside == "lost"
    assert (await world.now(session)).terms.budget == 0


async def test_a_return_is_made_once_though_all_that_we_know_of_it_was_lost(
    world: World, place: ChainPlace, tmp_path: Path
) -> None:
    world.live.online.clear()
    await place.send("stranger", place.addresses[0], 3 * EURO)
    (tmp_path / "second").mkdir()
    world.clock.move(_LONG)
    await world.watch.look()
    await world.transfers.decide()
    world.clock.move(_LONG)
    await world.transfers.decide()
    await world.returns.look()
    sender = place.sender("stranger")
    returned = await place.balance(sender)
    # A platform whose database and journal are gone sees the same transfer, and has nothing left to pay with.
    place.ledger.relayer(place.ledger.keys.relayer)
    async with world_at(place, tmp_path / "second") as second:
        second.live.online.clear()
        await second.watch.look()
        second.clock.move(_LONG)
        await second.transfers.decide()
        second.clock.move(_LONG)
        await second.transfers.decide()
        await second.returns.look()
    assert await place.balance(sender) == returned
