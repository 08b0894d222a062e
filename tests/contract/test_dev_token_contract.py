"""Every rule of DevToken on a real EVM."""

import pytest

from tests.contract.chain import CHAIN_ID, Chain, Contract, Person, Reverted

FOREVER = 2**32 - 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
AUTHORIZATION = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
NONCE = b"\x07" * 32
Signature = tuple[int, bytes, bytes]


@pytest.fixture
def minter(chain: Chain) -> Person:
    return Person.make(chain, "deployer")


@pytest.fixture
def driver(chain: Chain) -> Person:
    return Person.make(chain, "driver")


@pytest.fixture
def station(chain: Chain) -> Person:
    return Person.make(chain, "station")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


@pytest.fixture
def token(chain: Chain, minter: Person, driver: Person) -> Contract:
    token = chain.deploy("DevToken", sender=minter.address)
    token.send("mint", driver.address, 1000, sender=minter.address)
    return token


def signed(token: Contract, signer: Person, primary: str, fields: str, *values: object) -> Signature:
    domain = {"name": "DevEUR", "version": "1", "chainId": CHAIN_ID, "verifyingContract": token.address}
    names = [field.split()[1] for field in fields.split(",")]
    v, r, s = signer.sign(domain, primary, fields, dict(zip(names, values, strict=True)))
    return v, r.to_bytes(32, "big"), s.to_bytes(32, "big")


def permit(token: Contract, owner: Person, spender: Person, value: int, nonce: int = 0) -> Signature:
    fields = "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"
    return signed(token, owner, "Permit", fields, owner.address, spender.address, value, nonce, FOREVER)


def test_it_moves_what_there_is(token: Contract, driver: Person, station: Person, minter: Person) -> None:
    token.send("transfer", station.address, 300, sender=driver.address)
    assert [token.call("balanceOf", who.address) for who in (driver, station)] == [700, 300]
    assert token.call("totalSupply") == 1000
    with pytest.raises(Reverted, match="token: balance too small"):
        token.send("transfer", station.address, 701, sender=driver.address)
    with pytest.raises(Reverted, match="token: no receiver"):
        token.send("transfer", "0x" + "00" * 20, 1, sender=driver.address)
    token.send("transfer", driver.address, 700, sender=driver.address)
    assert token.call("balanceOf", driver.address) == 700
    assert token.call("decimals") == 6
    assert token.call("minter") == minter.address.lower()


def test_only_the_minter_mints(token: Contract, thief: Person) -> None:
    with pytest.raises(Reverted, match="token: not the minter"):
        token.send("mint", thief.address, 1, sender=thief.address)


def test_an_allowance_is_used_up_unless_it_is_unlimited(
    token: Contract, driver: Person, station: Person
) -> None:
    token.send("approve", station.address, 500, sender=driver.address)
    token.send("transferFrom", driver.address, station.address, 300, sender=station.address)
    with pytest.raises(Reverted, match="token: allowance too small"):
        token.send("transferFrom", driver.address, station.address, 201, sender=station.address)
    token.send("approve", station.address, 2**256 - 1, sender=driver.address)
    token.send("transferFrom", driver.address, station.address, 300, sender=station.address)
    assert token.call("allowance", driver.address, station.address) == 2**256 - 1


def test_a_permit_approves_once(token: Contract, driver: Person, station: Person, thief: Person) -> None:
    signature = permit(token, driver, station, 500)
    arguments = (driver.address, station.address, 500, FOREVER)
    token.send("permit", *arguments, *signature, sender=thief.address)
    assert token.call("allowance", driver.address, station.address) == 500
    with pytest.raises(Reverted, match="token: wrong signature"):
        token.send("permit", *arguments, *signature, sender=thief.address)


def test_a_forged_late_or_malleable_permit_is_refused(
    token: Contract, driver: Person, station: Person, thief: Person
) -> None:
    v, r, s = permit(token, driver, station, 500)
    twin = (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    cases: list[tuple[Signature, str, str]] = [
        ((55 - v, r, twin), driver.address, "token: malleable signature"),
        (permit(token, thief, station, 500), driver.address, "token: wrong signature"),
        ((27, bytes(32), bytes(32)), "0x" + "00" * 20, "token: wrong signature"),
    ]
    for signature, owner, reason in cases:
        with pytest.raises(Reverted, match=reason):
            token.send("permit", owner, station.address, 500, FOREVER, *signature, sender=thief.address)
    with pytest.raises(Reverted, match="token: permit too late"):
        token.send("permit", driver.address, station.address, 500, 1, v, r, s, sender=thief.address)


@pytest.mark.parametrize("primary", ["TransferWithAuthorization", "ReceiveWithAuthorization"])
def test_an_authorization_moves_tokens_once_within_its_time(
    token: Contract, driver: Person, station: Person, thief: Person, primary: str
) -> None:
    function = primary[0].lower() + primary[1:]
    values = (driver.address, station.address, 400, 0, FOREVER, NONCE)
    signature = signed(token, driver, primary, AUTHORIZATION, *values)
    if primary.startswith("Receive"):
        with pytest.raises(Reverted, match="token: not the receiver"):
            token.send(function, *values, *signature, sender=thief.address)
    token.send(function, *values, *signature, sender=station.address)
    assert token.call("balanceOf", station.address) == 400
    with pytest.raises(Reverted, match="token: authorization used"):
        token.send(function, *values, *signature, sender=station.address)
    for window, reason in (((FOREVER, FOREVER), "too early"), ((0, 1), "too late")):
        outside = (driver.address, station.address, 400, *window, b"\x08" * 32)
        with pytest.raises(Reverted, match=f"token: authorization {reason}"):
            token.send(
                function,
                *outside,
                *signed(token, driver, primary, AUTHORIZATION, *outside),
                sender=station.address,
            )


def test_an_authorization_of_one_kind_is_not_one_of_the_other(
    token: Contract, driver: Person, station: Person
) -> None:
    values = (driver.address, station.address, 400, 0, FOREVER, NONCE)
    signature = signed(token, driver, "ReceiveWithAuthorization", AUTHORIZATION, *values)
    with pytest.raises(Reverted, match="token: wrong signature"):
        token.send("transferWithAuthorization", *values, *signature, sender=station.address)


def test_a_cancelled_authorization_moves_nothing(
    token: Contract, driver: Person, station: Person, thief: Person
) -> None:
    fields = "address authorizer,bytes32 nonce"
    forged = signed(token, thief, "CancelAuthorization", fields, driver.address, NONCE)
    with pytest.raises(Reverted, match="token: wrong signature"):
        token.send("cancelAuthorization", driver.address, NONCE, *forged, sender=thief.address)
    cancel = signed(token, driver, "CancelAuthorization", fields, driver.address, NONCE)
    token.send("cancelAuthorization", driver.address, NONCE, *cancel, sender=thief.address)
    values = (driver.address, station.address, 400, 0, FOREVER, NONCE)
    signature = signed(token, driver, "TransferWithAuthorization", AUTHORIZATION, *values)
    with pytest.raises(Reverted, match="token: authorization used"):
        token.send("transferWithAuthorization", *values, *signature, sender=station.address)
