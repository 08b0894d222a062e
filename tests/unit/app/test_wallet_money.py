"""In which money a wallet speaks, signs and asks: the site's own, or the operator's FLEX."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from evmesh.app.wallet import app
from evmesh.app.wallet_book import Charge, ChargeBook, Stage
from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_money import Coin, flex_coin, named, own_coin
from evmesh.app.wallet_pay import Paying, PayOptions, place_to_pay, report_of
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_risk import worst_case
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import PaidIn
from evmesh.domain.sessions import Way
from evmesh.ledger.abi import encode_values
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import CHAIN

FLEX = PaidIn(Key("flex tab").address, Key("flex").address)
OWN, IN_FLEX = Coin(CHAIN, "devEUR"), flex_coin(CHAIN, FLEX)


def charge(coin: Coin = OWN, way: Way = Way.PREPAID) -> Charge:
    return Charge(
        begun=datetime(2026, 6, 1, tzinfo=UTC),
        code="7K3PM9QT",
        name="bay",
        asset=1,
        rating=7_360,
        price=350_000,
        payee=Key("operator").address.text,
        deposit_address=Key("deposits").address.text,
        min_deposit=1_000_000,
        way=way,
        energy=1_000,
        departure=0,
        flexible=True,
        max_cost=350_000,
        nonce="0b" * 32,
        deadline=0,
        escrow=coin.escrow.text if coin.is_flex else "",
        currency=coin.symbol,
    )


@dataclass(frozen=True)
class FakePlace:
    """A place whose operator takes both moneys."""

    coin: Coin = OWN

    async def in_flex(self) -> "FakePlace":
        return FakePlace(IN_FLEX)

    async def paying_by(self, escrow: Address) -> "FakePlace":
        assert escrow == FLEX.escrow
        return await self.in_flex()


def test_flex_has_an_escrow_a_token_and_a_domain_of_its_own_and_is_named_in_requests() -> None:
    assert (IN_FLEX.escrow, IN_FLEX.token) == (FLEX.escrow, FLEX.token)
    assert (OWN.escrow, OWN.token) == (CHAIN.charge_tab, CHAIN.token)
    assert IN_FLEX.domain.verifying_contract == FLEX.escrow
    assert OWN.domain == CHAIN.domain != IN_FLEX.domain
    assert IN_FLEX.chain.domain == CHAIN.domain  # receipts and readings are signed where they always were
    assert (named(OWN), named(IN_FLEX)) == ({}, {"escrow": FLEX.escrow.text})


@pytest.mark.parametrize(("coin", "symbol"), [(OWN, "devEUR"), (IN_FLEX, "FLEX")])
@pytest.mark.parametrize("way", [Way.PREPAID, Way.STREAMING])
def test_what_a_driver_reads_of_money_says_which_money(coin: Coin, symbol: str, way: Way) -> None:
    assert coin.words(1_250_000) == f"1.25 {symbol}"
    lines = worst_case(charge(coin, way))
    assert all(f" {symbol}: " in line for line in lines), lines
    assert report_of(charge(coin, way))["currency"] == symbol


def test_a_token_without_a_name_leaves_amounts_bare() -> None:
    assert replace(OWN, symbol="").words(1_250_000) == "1.25"


@pytest.mark.parametrize("flex", [False, True])
@pytest.mark.parametrize("coin", [None, OWN, IN_FLEX])
async def test_an_open_charge_is_gone_on_with_in_its_own_money_whatever_is_asked_for(
    tmp_path: Path, flex: bool, coin: Coin | None
) -> None:
    if coin is not None:
        with ChargeBook(tmp_path).writing():
            ChargeBook(tmp_path).save(charge(coin))
    place = await place_to_pay(cast("Place", FakePlace()), WalletHome(tmp_path), flex=flex)
    assert place.coin.is_flex is (flex if coin is None else coin.is_flex)


def test_a_charge_that_was_kept_before_there_was_flex_is_in_the_operators_own_money(tmp_path: Path) -> None:
    book = ChargeBook(tmp_path)
    with book.writing():
        book.save(charge())
    [file] = (tmp_path / "charges").glob("*.json")
    old = json.loads(file.read_text())
    del old["escrow"], old["currency"]
    file.write_text(json.dumps(old))
    [kept] = book.charges()
    assert (kept.escrow, kept.currency, kept.money(350_000)) == ("", "", "0.35")


def test_flex_is_sent_by_no_plain_transfer(tmp_path: Path) -> None:
    ask = ("pay", "7K3PM9QT", "--energy", "1kWh", "--way", "transfer", "--flex", "--wallet", str(tmp_path))
    done = CliRunner().invoke(app, [*ask, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (2, "wish.no_flex_transfer")


async def test_money_that_changed_between_two_looks_is_not_paid(tmp_path: Path) -> None:
    trust = SimpleNamespace(chain=CHAIN, flex=FLEX)
    place: Any = SimpleNamespace(coin=IN_FLEX, api=object(), rpc=None, trust=trust)
    signer: Any = SimpleNamespace(address=Key("driver").address)
    paying = Paying(place, WalletHome(tmp_path), signer, cast("Any", None), PayOptions())
    with pytest.raises(Refused, match=r"wallet\.charge_changed"):
        await paying.pay("7K3PM9QT", None)
    with ChargeBook(tmp_path).writing():
        ChargeBook(tmp_path).save(charge())
    with pytest.raises(Refused, match=r"wallet\.other_money"):
        await paying.pay(None, None)
    assert ChargeBook(tmp_path).charges()[0].stage is Stage.ASKED


class NamedToken:
    """A node on which every token has this name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def read(self, to: object, data: bytes) -> bytes:
        return encode_values(("string",), self._name)


@pytest.mark.parametrize("name", ["FLEX", "flex"])
async def test_a_token_that_calls_itself_flex_is_not_shown_as_flex(name: str) -> None:
    rpc: Any = NamedToken(name)
    assert (await own_coin(rpc, CHAIN)).words(1_000_000) == "1.00"
