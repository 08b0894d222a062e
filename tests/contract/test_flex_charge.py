"""FLEX pays for charging at its issuer, on a real chain: earned, deposited without gas, claimed, burnt."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.app.receipt_facts import read_chain_facts, read_settlement_facts
from evmesh.domain.chain import SignedRefill
from evmesh.domain.flex_voucher import SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import PaidIn
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import FlexVoucher, Refill
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import decode_values, encode_call
from evmesh.ledger.flex import FlexToken, ReceivedFlex
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.token import Permit, Token
from evmesh.ledger.wallet import LocalWallet
from evmesh.ports import Checkpoint
from evmesh.services.payouts import Payouts
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report, Status
from tests.contract.chain_yard import ChainYard, open_chain_yard
from tests.contract.ledger_world import EURO, Ledger, running_ledger
from tests.fakes.world import SIGNATURES, Driver, eventually, running
from tests.unit.services.streaming_sessions import PER_100_WH, meter, send


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChainYard]:
    async with open_chain_yard(tmp_path, monkeypatch) as opened:
        yield opened


async def earn(ledger: Ledger, relayer: Relayer, holder: Address, units: int) -> None:
    """Have units made, as for a reward."""
    contracts = ledger.deployment.contracts
    voucher = FlexVoucher(holder, units, b"\x5a" * 32)
    signed = digest(flex_domain(contracts.chain_id, contracts.flex), voucher, keccak256)
    token = FlexToken(
        contracts.flex,
        ledger.keys.operator.address,
        contracts.chain_id,
        relayer=relayer,
        quota=RelayQuota(RelayPolicy(), ledger.clock),
    )
    signature = ledger.keys.operator.sign(signed)
    await token.mint([SignedFlexVoucher(contracts.chain_id, contracts.flex, voucher, signature)])


async def supply(ledger: Ledger) -> int:
    raw = await ledger.rpc.read(ledger.deployment.contracts.flex, encode_call("totalSupply()"))
    return int(decode_values(("uint256",), raw)[0])


async def deposit(yard: ChainYard, driver: Driver, units: int) -> LocalWallet:
    """Raise the tab in FLEX by one signature that the relayer sends."""
    contracts = yard.ledger.deployment.contracts
    wallet = LocalWallet(driver.key, yard.ledger.rpc, contracts.ref(contracts.flex_tab))
    until = int(yard.world.clock.now().timestamp()) + 3600
    order = await wallet.authorized_deposit(yard.operator.payee.address, units, until, b"\x01" * 32)
    await yard.world.escrows.at(contracts.flex_tab).relay.deposit_authorized(order, f"flex:{driver.address}")
    return wallet


async def allow(yard: ChainYard, driver: Driver, units: int) -> None:
    """Let refills take FLEX, by a permit that anybody sends."""
    contracts = yard.ledger.deployment.contracts
    token = Token(yard.ledger.rpc, contracts.flex, contracts.chain_id)
    until = int(yard.world.clock.now().timestamp()) + 3600
    permit = Permit(
        driver.address, contracts.flex_tab, units, await token.permit_nonce(driver.address), until
    )
    signature = driver.key.sign(digest(await token.domain(), permit, keccak256))
    s, parity = int.from_bytes(signature[32:]) & ~(1 << 255), signature[32] >> 7
    data = encode_call(
        "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
        driver.address,
        contracts.flex_tab,
        units,
        until,
        27 + parity,
        signature[:32],
        s.to_bytes(32, "big"),
    )
    await yard.relayer.submit("allow", contracts.flex, data)


async def streamed(yard: ChainYard, driver: Driver) -> Session:
    """Charge 180 Wh in FLEX, 100 Wh ahead, with a refill that lets the tab be pulled up."""
    world, contracts = yard.world, yard.ledger.deployment.contracts
    session = await world.promised(driver, world.places[0], escrow=contracts.flex_tab)
    session = await send(world, driver, session, PER_100_WH)
    assert (await world.begin(session)).accepted
    session = await meter(world, await world.now(session), 150)
    until = int((world.clock.now() + timedelta(hours=1)).timestamp())
    value = Refill(yard.operator.payee.address, 0, 3 * PER_100_WH, 9 * EURO, until)
    refill = SignedRefill(value.cumulative, value.ceiling, until, driver.sign(value, contracts.flex_tab))
    voucher = world.voucher(driver, session, cumulative=3 * PER_100_WH)
    await world.payments.voucher(session.id, *voucher, refill)
    return await world.end(session, (session.meter_start or 0) + 180)


async def test_flex_is_earned_deposited_without_gas_streamed_claimed_paid_out_and_destroyed(
    yard: ChainYard,
) -> None:
    world, ledger, driver, neighbour = yard.world, yard.ledger, Driver("driver"), Driver("neighbour")
    contracts, payee = ledger.deployment.contracts, yard.operator.payee.address
    await earn(ledger, yard.relayer, driver.address, 20 * EURO)
    wallet = await deposit(yard, driver, 2 * EURO)
    await allow(yard, driver, 50 * EURO)
    await yard.fill(neighbour, 5 * EURO)
    in_token = await send(world, neighbour, await world.promised(neighbour, world.places[1]), PER_100_WH)
    assert (await world.begin(in_token)).accepted
    in_token = await world.now(in_token)
    in_token = await world.end(in_token, (in_token.meter_start or 0) + 100)
    done = await streamed(yard, driver)
    async with running(world.effects):
        await eventually(world.owes_nothing, within_s=30)
    done = await world.now(done)
    assert (done.state, done.due, done.flags) == (State.SETTLED, 63_000, ())
    own, flex = world.escrows
    tab = await flex.escrow.tab(payee, driver.address)
    assert (tab.spent, tab.ceiling, tab.epoch) == (63_000, 9 * EURO, 0)
    assert await ledger.rpc.call("eth_getBalance", driver.address.text, "latest") == "0x0"
    assert await own.escrow.account(payee) == (in_token.due, 0)

    # All FLEX that there is, is in the tab, with its earner or at the issuer: then what came in is no more.
    assert await wallet.balance() + tab.ceiling == await supply(ledger) == 20 * EURO
    received = ReceivedFlex(contracts.flex, yard.account, ledger.journal)
    payouts = Payouts(world.clock, world.escrows, yard.operator)
    for _ in range(2):
        await payouts.pay_out(replace(flex, burner=received))
    assert await flex.escrow.account(payee) == (63_000, 63_000)
    assert await supply(ledger) == 20 * EURO - 63_000 == await wallet.balance() + tab.ceiling - tab.spent
    token = Token(ledger.rpc, contracts.flex, contracts.chain_id)
    assert await token.balance(contracts.flex_tab) == tab.ceiling - tab.spent
    assert await own.escrow.account(payee) == (in_token.due, 0)
    await holds(yard, done, in_token)


async def holds(yard: ChainYard, done: Session, in_token: Session) -> None:
    """Have a stranger with a node look at the documents."""
    world, url = yard.world, yard.ledger.rpc.url
    contracts = yard.ledger.deployment.contracts
    raw, settled = [await world.document(done, one) for one in (Receipt.FORMAT, Settlement.FORMAT)]
    receipt, settlement = Receipt.parse(raw), Settlement.parse(settled)
    facts = await read_chain_facts(url, receipt)
    report = verify_receipt(raw, SIGNATURES, world.trust(), chain=facts)
    assert all(status(report, name) is Status.OK for name in ("vouchers", "settlement", "paid in"))
    report = verify_settlement(
        settled, SIGNATURES, raw, world.trust(), await read_settlement_facts(url, settlement)
    )
    assert {one.status for one in report.checks} == {Status.OK}, report.checks
    # An escrow over another token is not the one that is named, and a token of nobody is no money.
    other = replace(receipt.chain, paid_in=PaidIn(contracts.flex_tab, contracts.token))
    assert await failing(url, replace(receipt, chain=other)) == "paid_in.other_token"
    nobody = replace(receipt.chain, charge_tab=contracts.flex_tab)
    nobody = replace(nobody, token=contracts.flex, paid_in=PaidIn(contracts.charge_tab, contracts.token))
    assert await failing(url, replace(receipt, chain=nobody)) == "paid_in.no_issuer"
    # FLEX that poses as the site's money, in a receipt that names no other.
    posing = replace(receipt.chain, charge_tab=contracts.flex_tab, paid_in=None)
    facts = await read_chain_facts(url, replace(receipt, chain=posing))
    assert not facts.contracts_answer
    elsewhere = Driver("other operator").address
    assert await failing(url, replace(receipt, payee=elsewhere)) == "paid_in.other_issuer"
    plain = await world.document(in_token, Receipt.FORMAT)
    assert (await read_chain_facts(url, Receipt.parse(plain))).money is None


def status(report: Report, name: str) -> Status:
    return next(one.status for one in report.checks if one.name == name)


async def failing(url: str, receipt: Receipt) -> str:
    """Give why the money of a receipt is none, by what the node says."""
    facts = await read_chain_facts(url, receipt)
    report = verify_receipt(receipt.encode(), SIGNATURES, chain=facts)
    return next(one.code for one in report.checks if one.name == "paid in")


async def test_what_came_in_is_destroyed_once_through_crashes(tmp_path: Path) -> None:
    class Crash(BaseException):
        """The process ends here."""

    def crashing(point: str) -> Checkpoint:
        def crash(at: str) -> None:
            if at == point:
                raise Crash

        return crash

    async with running_ledger(tmp_path) as ledger:
        flex, operator = ledger.deployment.contracts.flex, ledger.keys.operator
        await earn(ledger, ledger.relayer(ledger.keys.relayer), operator.address, 20 * EURO)

        def received(checkpoint: Checkpoint = lambda _: None) -> ReceivedFlex:
            return ReceivedFlex(flex, ledger.relayer(operator, checkpoint=checkpoint), ledger.journal)

        assert await received().burn_up_to(0) is None
        paid = 0
        for point in ("relayer.signed", "relayer.written", "relayer.sent", "relayer.mined"):
            with pytest.raises(Crash):
                await received(crashing(point)).burn_up_to(paid + EURO)
            paid += 3 * EURO  # more came in meanwhile
            await received().burn_up_to(paid)
            assert await supply(ledger) == 20 * EURO - paid
        assert await received().burn_up_to(paid) is None
        assert await received().burn_up_to(EURO) is None  # a chain that lost what it had said
        assert await supply(ledger) == 20 * EURO - paid


async def test_burns_that_a_loss_of_blocks_put_before_their_payouts_are_made_up_for(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        operator = ledger.keys.operator.address
        own, other = ledger.relayer(ledger.keys.operator), ledger.relayer(ledger.keys.relayer)
        burner = ReceivedFlex(ledger.deployment.contracts.flex, own, ledger.journal)
        before = await ledger.rpc.block_number()
        lost = await ledger.rpc.call("evm_snapshot")
        for received in (5 * EURO, 8 * EURO):  # two hours; what is made stands for what is paid out
            await earn(ledger, other, operator, received)
            await burner.burn_up_to(received)
        assert await supply(ledger) == 0
        assert await ledger.rpc.call("evm_revert", lost)
        for account in (own, other):  # the burns are sent again first, and fail
            await account.recover(from_block=before + 1)
        assert await supply(ledger) == 8 * EURO
        await burner.burn_up_to(8 * EURO)
        assert await supply(ledger) == 0
