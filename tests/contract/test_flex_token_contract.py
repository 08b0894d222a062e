"""Every rule of FlexToken on a real EVM, up to paying for a charge with it."""

from dataclasses import replace

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.signatures import KeySigner, compact_words, keccak256
from tests.contract.chain import CHAIN_ID, Chain, Contract, Person, Reverted, compact
from tests.contract.tab_world import EURO, NOBODY, ORDER, World

CAP = 100 * EURO
REWARD = b"\x5a" * 32
MALFORMED, NOT_THE_ISSUER, STALE, CAP_REACHED = range(1, 5)


@pytest.fixture
def issuer(chain: Chain) -> Person:
    return Person.make(chain, "operator")


@pytest.fixture
def driver(chain: Chain) -> Person:
    return Person.make(chain, "driver")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


@pytest.fixture
def flex(chain: Chain, issuer: Person) -> Contract:
    deployer = Person.make(chain, "deployer")
    return chain.deploy("FlexToken", issuer.address, CAP, sender=deployer.address)


def row(
    flex: Contract,
    signer: Person,
    holder: Person,
    cumulative: int,
    certificate: bytes = REWARD,
    **other: object,
) -> list[int]:
    domain = {"name": "Flexibility", "version": "1", "chainId": CHAIN_ID, "verifyingContract": flex.address}
    signature = signer.sign(
        domain | other,
        "FlexVoucher",
        "address holder,uint96 cumulative,bytes32 certificate",
        {"holder": holder.address, "cumulative": cumulative, "certificate": certificate},
    )
    return [
        *compact(signature),
        int(holder.address, 16) | cumulative << 160,
        int.from_bytes(certificate, "big"),
    ]


def mint(flex: Contract, sender: Person, *rows: list[int]) -> list[tuple[int, int]]:
    """Mint and give (row, reason) of what was skipped."""
    receipt = flex.send("mint", list(rows), sender=sender.address)
    return [(event["row"], event["reason"]) for event in receipt.events("RowSkipped")]


def test_a_voucher_makes_what_was_not_made_before(
    flex: Contract, issuer: Person, driver: Person, thief: Person
) -> None:
    """Sent by anybody: a driver who earned FLEX needs no gas to have it."""
    receipt = flex.send("mint", [row(flex, issuer, driver, 3 * EURO)], sender=thief.address)
    assert receipt.events("Minted") == [
        {"holder": driver.address.lower(), "certificate": REWARD, "amount": 3 * EURO, "total": 3 * EURO}
    ]
    assert mint(flex, thief, row(flex, issuer, driver, 5 * EURO)) == []
    assert flex.call("balanceOf", driver.address) == flex.call("totalSupply") == 5 * EURO
    assert flex.call("minted", driver.address) == 5 * EURO


def test_our_own_encoder_signs_what_the_contract_checks(
    flex: Contract, issuer: Person, driver: Person
) -> None:
    voucher = FlexVoucher(Address.parse(driver.address.lower()), 3 * EURO, REWARD)
    domain = Domain(CHAIN_ID, Address.parse(flex.address.lower()), name="Flexibility")
    signer = KeySigner(bytes.fromhex(issuer.key[2:]))
    signature = compact_words(signer.sign(digest(domain, voucher, keccak256)))
    assert row(flex, issuer, driver, 3 * EURO)[:2] == [*signature]
    words = [*signature, int(driver.address, 16) | 3 * EURO << 160, int.from_bytes(REWARD, "big")]
    assert mint(flex, driver, words) == []


def test_old_vouchers_and_duplicates_make_nothing(flex: Contract, issuer: Person, driver: Person) -> None:
    rows = [row(flex, issuer, driver, amount * EURO) for amount in (3, 3, 2, 5)]
    assert mint(flex, driver, *rows) == [(1, STALE), (2, STALE)]
    assert flex.call("balanceOf", driver.address) == 5 * EURO
    flex.send("burn", 5 * EURO, sender=driver.address)
    assert mint(flex, driver, *rows) == [(place, STALE) for place in range(4)]


def test_one_bad_row_does_not_stop_the_others(
    flex: Contract, issuer: Person, driver: Person, thief: Person
) -> None:
    good = row(flex, issuer, driver, 3 * EURO)
    rows = [
        row(flex, thief, thief, 3 * EURO),
        [good[0], good[1], int(thief.address, 16) | 3 * EURO << 160, good[3]],
        [good[0], good[1], int(driver.address, 16) | 4 * EURO << 160, good[3]],
        [*good[:3], good[3] ^ 1],
        [0, 0, *good[2:]],
        [good[0], ORDER // 2 + 1, *good[2:]],
        [2**256 - 1] * 4,
        [good[0], good[1], 3 * EURO << 160, good[3]],
        good,
    ]
    reasons = [*[NOT_THE_ISSUER] * 5, MALFORMED, MALFORMED, MALFORMED]
    assert mint(flex, thief, *rows) == list(enumerate(reasons))
    assert flex.call("totalSupply") == flex.call("balanceOf", driver.address) == 3 * EURO


def test_a_voucher_is_good_for_its_own_token_on_its_own_chain(
    chain: Chain, flex: Contract, issuer: Person, driver: Person
) -> None:
    twin = chain.deploy("FlexToken", issuer.address, CAP, sender=issuer.address)
    for foreign in (
        row(flex, issuer, driver, EURO, chainId=1),
        row(flex, issuer, driver, EURO, name="ChargeTab"),
        row(twin, issuer, driver, EURO),
    ):
        assert mint(flex, driver, foreign) == [(0, NOT_THE_ISSUER)]


def test_no_more_is_promised_than_the_cap_and_the_rest_stays_due(
    flex: Contract, issuer: Person, driver: Person, thief: Person
) -> None:
    voucher = row(flex, issuer, driver, CAP + 20 * EURO)
    assert mint(flex, driver, voucher) == []
    assert flex.call("totalSupply") == CAP
    assert mint(flex, driver, voucher) == [(0, CAP_REACHED)]
    flex.send("burn", 5 * EURO, sender=driver.address)
    assert mint(flex, driver, voucher) == []
    assert flex.call("minted", driver.address) == CAP + 5 * EURO
    with pytest.raises(Reverted, match="flex: not the issuer"):
        flex.send("set_cap", 2 * CAP, sender=thief.address)
    flex.send("set_cap", 2 * CAP, sender=issuer.address)
    assert mint(flex, driver, voucher) == []
    assert flex.call("minted", driver.address) == CAP + 20 * EURO


def test_a_lowered_cap_takes_nothing_from_anybody(flex: Contract, issuer: Person, driver: Person) -> None:
    mint(flex, driver, row(flex, issuer, driver, 5 * EURO))
    receipt = flex.send("set_cap", 0, sender=issuer.address)
    assert receipt.events("CapSet") == [{"cap": 0}]
    assert mint(flex, driver, row(flex, issuer, driver, 6 * EURO)) == [(0, CAP_REACHED)]
    flex.send("transfer", issuer.address, 5 * EURO, sender=driver.address)
    assert flex.call("balanceOf", issuer.address) == 5 * EURO


def test_one_burns_the_own_units_only(flex: Contract, issuer: Person, driver: Person) -> None:
    mint(flex, driver, row(flex, issuer, driver, 5 * EURO))
    for holder in (issuer, driver):
        with pytest.raises(Reverted, match="token: balance too small"):
            flex.send("burn", 6 * EURO, sender=holder.address)
    flex.send("burn", 5 * EURO, sender=driver.address)
    assert flex.call("totalSupply") == 0


def test_there_is_an_issuer(chain: Chain, flex: Contract, issuer: Person) -> None:
    assert flex.call("issuer") == issuer.address.lower()
    assert [flex.call(name) for name in ("name", "symbol", "decimals", "cap")] == [
        "Flexibility",
        "FLEX",
        6,
        CAP,
    ]
    with pytest.raises(Reverted, match="flex: no issuer"):
        chain.deploy("FlexToken", NOBODY, CAP, sender=issuer.address)


def test_flex_pays_for_charging_at_its_issuer_without_gas(
    chain: Chain, flex: Contract, issuer: Person, driver: Person
) -> None:
    """Earned, put into a tab of the issuer, claimed with vouchers, burnt: the promise is kept."""
    world = World.build(chain)
    tab = chain.deploy("ChargeTab", flex.address, 86_400, sender=issuer.address)
    world = replace(world, token=flex, tab=tab, token_name="Flexibility")
    chain.rpc("anvil_setBalance", driver.address, "0x0")
    mint(flex, world.relayer, row(flex, issuer, driver, 8 * EURO))
    world.deposit_with_permit(5 * EURO)
    world.deposit_with_authorization(3 * EURO)
    world.claim(world.row(6 * EURO, cumulative=8 * EURO))
    tab.send("payout", issuer.address, sender=world.relayer.address)
    flex.send("burn", 6 * EURO, sender=issuer.address)
    assert flex.call("totalSupply") == 2 * EURO
    world.close(6 * EURO)
    assert flex.call("balanceOf", driver.address) == 2 * EURO
