"""A wallet's deposit for a charge on a real chain: made again after a crash, the money moves once."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evmesh.app.wallet_book import Charge, ChargeBook, Stage
from evmesh.app.wallet_home import By, WalletHome
from evmesh.app.wallet_money import Coin
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_secure import Securing
from evmesh.domain.chain import AuthorizedDeposit, DepositOrder
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.sessions import Way
from evmesh.domain.trust import Trust
from evmesh.ledger.escrow import ChargeTab
from evmesh.ledger.networks import network_of
from evmesh.ledger.signatures import KeySigner
from evmesh.ledger.token import Faucet
from evmesh.services.receipts import chain_ref
from tests.contract.ledger_world import EURO, Ledger, running_ledger

DRIVER = KeySigner(b"\x44" * 32)
BUDGET = 2 * EURO


@dataclass
class Relay:
    """The operator's relayer, whose answers get lost as often as a test says."""

    escrow: ChargeTab
    lose: int = 0
    seen: list[Any] = field(default_factory=list)

    async def deposit_authorized(self, order: AuthorizedDeposit, coin: Coin) -> str:
        self.seen.append(order)
        mined = await self.escrow.deposit_authorized(order, f"authorized:{order.payer}:{order.salt.hex()}")
        return self._answered(mined.tx_hash)

    async def deposit(self, order: DepositOrder, coin: Coin) -> str:
        self.seen.append(order)
        mined = await self.escrow.deposit(order, f"deposit:{order.ceiling}")
        return self._answered(mined.tx_hash)

    def _answered(self, tx_hash: str) -> str:
        if self.lose:
            self.lose -= 1
            raise Unavailable("operator.away", "the answer was lost")
        return tx_hash


async def device(ledger: Ledger, relay: Relay, directory: Path) -> tuple[Securing, ChargeBook]:
    """Give a device as it comes up: it knows what its files say."""
    keys, contracts = ledger.keys, ledger.deployment.contracts
    payee = keys.operator.address
    trust = Trust(chain_ref(contracts), frozenset({payee}), frozenset(), {})
    network, coin = network_of(contracts.chain_id), Coin(trust.chain, "devEUR")
    place = Place(ledger.rpc, trust, payee, network, relay, coin)  # type: ignore[arg-type]
    book = ChargeBook(directory)
    home = WalletHome(directory)
    securing = Securing(place, relay, home, book, DRIVER, ledger.clock)  # type: ignore[arg-type]
    return securing, book


def charge(ledger: Ledger) -> Charge:
    return Charge(
        begun=datetime(2026, 6, 1, tzinfo=UTC),
        code="7K3PM9QT",
        name="bay",
        asset=1,
        rating=7_360,
        price=350_000,
        payee=ledger.keys.operator.address.text,
        deposit_address="0x" + "11" * 20,
        min_deposit=EURO,
        way=Way.PREPAID,
        energy=5_714,
        departure=0,
        flexible=True,
        max_cost=BUDGET,
        nonce="ab" * 32,
        deadline=0,
        stage=Stage.OFFERED,
        budget=BUDGET,
    )


@pytest.mark.parametrize("by", list(By))
async def test_a_deposit_whose_answer_was_lost_is_made_once(tmp_path: Path, by: By) -> None:
    async with running_ledger(tmp_path / "platform") as ledger:
        faucet = Faucet(ledger.deployment.contracts.token, ledger.relayer(ledger.keys.deployer))
        await faucet.mint(DRIVER.address, 100 * EURO, key="mint:driver")
        escrow = ledger.escrow()
        relay = Relay(escrow, lose=1)
        securing, book = await device(ledger, relay, tmp_path / "wallet")
        with book.writing():
            book.save(charge(ledger))
            known = book.open_charge()
            assert known is not None
            with pytest.raises(Unavailable):
                await securing.deposit(known, by)

        # the device comes up again and knows what it wrote down
        securing, book = await device(ledger, relay, tmp_path / "wallet")
        with book.writing():
            known = book.open_charge()
            assert known is not None
            await securing.deposit(known, by)
            await securing.deposit(known, by)
        tab = await escrow.tab(ledger.keys.operator.address, DRIVER.address)
        assert tab.ceiling == BUDGET
        assert await ledger.token().balance(DRIVER.address) == 100 * EURO - BUDGET
        assert len(relay.seen) == 1  # our own node showed that the money is there


async def test_an_authorization_that_was_signed_is_sent_again_as_it_was(tmp_path: Path) -> None:
    async with running_ledger(tmp_path / "platform") as ledger:
        faucet = Faucet(ledger.deployment.contracts.token, ledger.relayer(ledger.keys.deployer))
        await faucet.mint(DRIVER.address, 100 * EURO, key="mint:driver")
        relay = Relay(ledger.escrow())
        securing, book = await device(ledger, relay, tmp_path / "wallet")
        with book.writing():
            known = charge(ledger)
            book.save(known)
            await securing.deposit(known, By.AUTHORIZATION)
            saved = known.deposit
            assert saved is not None
            first = relay.seen[0]
            assert (first.value, first.salt.hex()) == (saved.value, saved.salt)
            # a node that lags behind shows nothing yet: the same authorization goes out, not another
            with pytest.raises(Refused, match=r"token\."):
                await ledger.escrow().deposit_authorized(first, "another key")
            assert book.charges()[0].deposit == saved


async def test_two_programs_do_not_pay_with_one_wallet(tmp_path: Path) -> None:
    one, other = ChargeBook(tmp_path), ChargeBook(tmp_path)
    with one.writing(), pytest.raises(Refused), other.writing():
        pass
