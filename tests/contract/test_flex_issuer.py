"""The port `FlexIssuer`: the same suite on the real contract and on the fake that the services' tests use."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evmesh.app.receipt_facts import read_flex_facts
from evmesh.domain.errors import Refused
from evmesh.domain.flex_voucher import SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import encode_call
from evmesh.ledger.flex import FlexReader, FlexToken
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ports import FlexIssuer, Signer
from evmesh.verify.chain_facts import FlexFacts
from tests.contract.ledger_world import EURO, Ledger, running_ledger
from tests.fakes.flex import FakeFlex
from tests.fakes.world import CONTRACTS
from tests.unit.verify.followup_factory import make_reward
from tests.unit.verify.receipt_factory import make_receipt

DRIVER = KeySigner(b"\x44" * 32)
NEIGHBOUR = KeySigner(b"\x45" * 32)
THIEF = KeySigner(b"\x55" * 32)


@dataclass
class Mint:
    """An issuer with its key, and a way to move its cap."""

    token: FlexIssuer
    issuer: Signer
    contract: Address
    chain_id: int
    sequence: int = 0
    ledger: Ledger | None = None

    def voucher(self, units: int, holder: Signer = DRIVER, by: Signer | None = None) -> SignedFlexVoucher:
        voucher = FlexVoucher(holder.address, units, b"\x5a" * 32)
        domain = flex_domain(self.chain_id, self.contract)
        signature = (by or self.issuer).sign(digest(domain, voucher, keccak256))
        return SignedFlexVoucher(self.chain_id, self.contract, voucher, signature)

    async def made(self, holder: Signer = DRIVER) -> int:
        return (await self.token.made([holder.address]))[0]

    async def set_cap(self, cap: int) -> None:
        if isinstance(self.token, FakeFlex):
            self.token.cap = cap
        else:
            assert self.ledger is not None
            self.sequence += 1
            operator = self.ledger.relayer(self.ledger.keys.operator)
            await operator.submit(f"cap:{self.sequence}", self.contract, encode_call("set_cap(uint256)", cap))


def real(ledger: Ledger, requests: int = 20) -> FlexToken:
    contracts = ledger.deployment.contracts
    return FlexToken(
        contracts.flex,
        ledger.keys.operator.address,
        contracts.chain_id,
        relayer=ledger.relayer(ledger.keys.relayer),
        quota=RelayQuota(RelayPolicy(requests=requests), ledger.clock),
    )


@pytest.fixture(params=["fake", "chain"])
async def mint(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Mint]:
    if request.param == "fake":
        issuer = KeySigner(b"\x11" * 32)
        fake = FakeFlex(issuer.address, CONTRACTS.flex)
        yield Mint(fake, issuer, CONTRACTS.flex, CONTRACTS.chain_id)
        return
    async with running_ledger(tmp_path) as ledger:
        contracts = ledger.deployment.contracts
        yield Mint(real(ledger), ledger.keys.operator, contracts.flex, contracts.chain_id, ledger=ledger)


async def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        await act()  # type: ignore[misc]
    return refused.value.code


async def test_the_newest_voucher_makes_what_was_not_made_before(mint: Mint) -> None:
    assert await mint.made() == 0
    await mint.token.mint([mint.voucher(3 * EURO), mint.voucher(EURO, NEIGHBOUR)])
    assert (await mint.made(), await mint.made(NEIGHBOUR)) == (3 * EURO, EURO)
    await mint.token.mint([mint.voucher(5 * EURO)])
    assert await mint.made() == 5 * EURO
    assert await refusal(lambda: mint.token.mint([mint.voucher(3 * EURO)])) == "flex.stale"
    assert await mint.made() == 5 * EURO


async def test_nobody_but_the_issuer_makes_units(mint: Mint) -> None:
    forged = mint.voucher(3 * EURO, THIEF, by=THIEF)
    for act in (mint.token.redeem, lambda one: mint.token.mint([one])):
        with pytest.raises(Refused, match=r"not one of|nothing was made"):
            await act(forged)
    elsewhere = replace(mint.voucher(3 * EURO), flex=Address("0x" + "99" * 20))
    assert await refusal(lambda: mint.token.redeem(elsewhere)) == "flex.not_the_issuer"
    await mint.token.mint([forged, mint.voucher(EURO)])  # a bad row does not stop the others
    assert (await mint.made(THIEF), await mint.made()) == (0, EURO)


async def test_what_does_not_fit_under_the_cap_stays_due(mint: Mint) -> None:
    await mint.set_cap(2 * EURO)
    voucher = mint.voucher(3 * EURO)
    await mint.token.mint([voucher])
    assert await mint.made() == 2 * EURO
    assert await refusal(lambda: mint.token.mint([voucher])) == "flex.cap_reached"
    await mint.set_cap(10 * EURO)
    await mint.token.mint([voucher])  # the same voucher is a new purpose once something else was made
    assert await mint.made() == 3 * EURO


async def test_a_holder_without_gas_redeems_through_the_relayer(mint: Mint) -> None:
    await mint.token.redeem(mint.voucher(EURO))
    assert await mint.made() == EURO
    assert await refusal(lambda: mint.token.redeem(mint.voucher(EURO))) == "flex.stale"


async def test_relaying_has_a_quota_that_junk_does_not_use_up(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        contracts = ledger.deployment.contracts
        token = real(ledger, requests=2)
        mint = Mint(token, ledger.keys.operator, contracts.flex, contracts.chain_id)
        for _ in range(3):
            forged = mint.voucher(9 * EURO, by=THIEF)
            assert await refusal(lambda one=forged: token.redeem(one)) == "flex.not_the_issuer"  # type: ignore[misc]
        await token.redeem(mint.voucher(1))
        await token.redeem(mint.voucher(2))
        assert await refusal(lambda: token.redeem(mint.voucher(3))) == "relay.too_many"
        assert await ledger.rpc.call("eth_getBalance", DRIVER.address.text, "latest") == "0x0"
        reader = FlexReader(ledger.rpc, contracts.flex)
        assert await reader.issuer() == ledger.keys.operator.address


async def test_a_stranger_asks_a_node_whether_a_reward_was_paid(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        contracts = ledger.deployment.contracts
        token = real(ledger)
        mint = Mint(token, ledger.keys.operator, contracts.flex, contracts.chain_id)
        receipt = make_receipt()
        chain = replace(receipt.chain, chain_id=contracts.chain_id)
        reward = make_reward(receipt, chain=chain, flex=contracts.flex, holder=DRIVER.address)
        before = await read_flex_facts(ledger.rpc.url, reward)
        assert before == FlexFacts(contracts.chain_id, True, ledger.keys.operator.address, 0)
        await token.mint([mint.voucher(reward.cumulative)])
        assert (await read_flex_facts(ledger.rpc.url, reward)).made == reward.cumulative
        nowhere = replace(reward, flex=Address("0x" + "99" * 20))
        assert await read_flex_facts(ledger.rpc.url, nowhere) == FlexFacts(contracts.chain_id)
        elsewhere = replace(reward, chain=replace(chain, chain_id=1))
        assert await read_flex_facts(ledger.rpc.url, elsewhere) == FlexFacts(contracts.chain_id)
