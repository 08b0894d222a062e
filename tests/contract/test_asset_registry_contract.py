"""Every rule of AssetRegistry on a real EVM."""

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.units import W
from evmesh.ledger.asset_words import (
    AssetKind,
    ConnectorKind,
    Lifecycle,
    NewAsset,
    StoredAsset,
    facts_word,
    place_word,
)
from tests.contract.chain import Chain, Contract, Person, Reverted

EVSE = 1 << 160 | 1 << 168 | 2 << 176 | 22_000 << 184 | 7 << 216
NORTH_POLE_EDGE = 180_000_000 << 160
HASH = b"\x5a" * 32


@pytest.fixture
def registry(chain: Chain) -> Contract:
    return chain.deploy("AssetRegistry", sender=Person.make(chain, "deployer").address)


@pytest.fixture
def operator(chain: Chain) -> Person:
    return Person.make(chain, "operator")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


def place(latitude: int = 52_520_008, longitude: int = 13_404_954, price: int = 450_000) -> int:
    return 0xDE << 152 | (latitude + 90_000_000) << 160 | (longitude + 180_000_000) << 188 | price << 217


def register(registry: Contract, owner: Person, after: int = 0, facts: int = EVSE) -> int:
    [event] = registry.send("register", after, facts, place(), HASH, sender=owner.address).events(
        "Registered"
    )
    assert event["owner"] == owner.address.lower()
    number: int = event["asset"]
    return number


def test_assets_are_numbered_from_one_whoever_registers(
    registry: Contract, operator: Person, thief: Person
) -> None:
    assert registry.call("newest") == 0
    numbers = [register(registry, owner) for owner in (operator, thief, operator, operator)]
    assert numbers == [1, 2, 3, 4]
    assert registry.call("newest") == 4
    assert registry.call("asset", 2)[0] & (2**160 - 1) == int(thief.address, 16)


def test_the_newest_number_is_found_at_every_count(registry: Contract, operator: Person) -> None:
    for count in range(1, 18):
        register(registry, operator, after=count - 1)
        assert registry.call("newest") == count


def test_nobody_chooses_a_number(registry: Contract, operator: Person, thief: Person) -> None:
    register(registry, operator)
    for wished in (7, 2**35, 2**256 - 1):
        with pytest.raises(Reverted, match="registry: number not taken"):
            register(registry, thief, after=wished)
    assert register(registry, thief, after=1) == 2
    assert register(registry, operator, after=1) == 3  # the thief came first: walk on


def test_a_station_code_cannot_be_squatted(registry: Contract, operator: Person, thief: Person) -> None:
    """The code on a sticker follows from the number, and numbers come in order: no code can be picked."""
    register(registry, operator)
    wished = next(code_of(number) for number in range(2, 2**20) if code_of(number).startswith("EV"))
    with pytest.raises(Reverted, match="registry: number not taken"):
        registry.send("register", counter_of(wished) - 1, EVSE, place(), HASH, sender=thief.address)
    assert code_of(register(registry, thief, after=1)) == code_of(2)
    # Nor can a taken one be taken over: its number has its owner, and a registration walks on.
    assert register(registry, thief, after=0) == 3
    assert registry.call("asset", 1)[0] & (2**160 - 1) == int(operator.address, 16)


@pytest.mark.parametrize("kind", AssetKind)
def test_every_kind_of_asset_is_registered(registry: Contract, operator: Person, kind: AssetKind) -> None:
    asset = NewAsset(
        kind=kind,
        lifecycle=Lifecycle.IN_SERVICE,
        connector=ConnectorKind.TYPE_2_SOCKET if kind is AssetKind.EVSE else ConnectorKind.NONE,
        rating=W(22_000),
        group=7,
        deposit_address=Address(operator.address.lower()),
        latitude_udeg=-33_868_820,
        longitude_udeg=151_209_290,
        price=Price(450_000 if kind is AssetKind.EVSE else 0),
        record_hash=HASH,
    )
    [event] = registry.send(
        "register", 0, facts_word(asset), place_word(asset), HASH, sender=operator.address
    ).events("Registered")
    facts, where, record = registry.call("asset", event["asset"])
    stored = StoredAsset.read(facts, where)
    assert (stored.kind, stored.connector, stored.rating, stored.group, stored.price) == (
        kind,
        asset.connector,
        asset.rating,
        asset.group,
        asset.price,
    )
    assert (stored.latitude_udeg, stored.longitude_udeg) == (-33_868_820, 151_209_290)
    assert stored.owner.text == operator.address.lower()
    assert record == HASH
    with pytest.raises(Reverted, match="registry: kind is fixed"):
        registry.send(
            "update",
            event["asset"],
            facts_word(asset) ^ 7 << 160,
            where,
            HASH,
            sender=operator.address,
        )


def test_a_sender_who_is_far_behind_is_told(registry: Contract, operator: Person) -> None:
    for after in range(64):
        register(registry, operator, after=after)
    with pytest.raises(Reverted, match="registry: too far behind"):
        register(registry, operator, after=0)
    assert register(registry, operator, after=1) == 65


def test_an_asset_reads_back_as_it_was_registered(registry: Contract, operator: Person) -> None:
    number = register(registry, operator)
    assert registry.call("asset", number) == (EVSE | int(operator.address, 16), place(), HASH)
    assert registry.call("asset", number + 1) == (0, 0, bytes(32))


@pytest.mark.parametrize(
    ("facts", "where", "reason"),
    [
        (EVSE | 1, place(), "registry: owner is the sender"),
        (EVSE & ~(255 << 160), place(), "registry: no kind"),
        (EVSE, 180_000_001 << 160, "registry: no such latitude"),
        (EVSE, 360_000_001 << 188, "registry: no such longitude"),
        (EVSE, 1 << 249, "registry: malformed place"),
    ],
)
def test_malformed_facts_are_refused(
    registry: Contract, operator: Person, facts: int, where: int, reason: str
) -> None:
    with pytest.raises(Reverted, match=reason):
        registry.send("register", 0, facts, where, HASH, sender=operator.address)
    number = register(registry, operator)
    if reason != "registry: no kind":
        with pytest.raises(Reverted, match=reason):
            registry.send("update", number, facts, where, HASH, sender=operator.address)


def test_only_the_owner_changes_an_asset(registry: Contract, operator: Person, thief: Person) -> None:
    number = register(registry, operator)
    changes: list[tuple[str, tuple[object, ...]]] = [
        ("set_price", (number, 1)),
        ("set_lifecycle", (number, 3)),
        ("set_record", (number, bytes(32))),
        ("update", (number, EVSE, place(), HASH)),
    ]
    for name, arguments in changes:
        with pytest.raises(Reverted, match="registry: not the owner"):
            registry.send(name, *arguments, sender=thief.address)
        with pytest.raises(Reverted, match="registry: no such asset"):
            registry.send(name, number + 1, *arguments[1:], sender=thief.address)
    assert registry.call("asset", number) == (EVSE | int(operator.address, 16), place(), HASH)


def test_the_owner_changes_one_thing_and_nothing_else(registry: Contract, operator: Person) -> None:
    number, owner = register(registry, operator), int(operator.address, 16)
    registry.send("set_price", number, 2**32 - 1, sender=operator.address)
    assert registry.call("asset", number) == (EVSE | owner, place(price=2**32 - 1), HASH)
    registry.send("set_lifecycle", number, 3, sender=operator.address)
    retired = EVSE & ~(255 << 168) | 3 << 168
    assert registry.call("asset", number) == (retired | owner, place(price=2**32 - 1), HASH)
    registry.send("set_record", number, b"\x11" * 32, sender=operator.address)
    assert registry.call("asset", number)[2] == b"\x11" * 32
    stronger = EVSE & ~((2**32 - 1) << 184) | 50_000 << 184
    registry.send("update", number, stronger, place(), HASH, sender=operator.address)
    assert registry.call("asset", number) == (stronger | owner, place(), HASH)
    for name, value, reason in (("set_price", 2**32, "price too high"), ("set_lifecycle", 256, "no such")):
        with pytest.raises(Reverted, match=reason):
            registry.send(name, number, value, sender=operator.address)
    with pytest.raises(Reverted, match="registry: kind is fixed"):
        registry.send("update", number, EVSE ^ 3 << 160, place(), HASH, sender=operator.address)


def test_each_owner_has_one_base_url(registry: Contract, operator: Person, thief: Person) -> None:
    registry.send("set_base_url", "https://charge.example/v1", sender=operator.address)
    registry.send("set_base_url", "https://thief.example", sender=thief.address)
    assert registry.call("base_url", operator.address) == "https://charge.example/v1"
    with pytest.raises(Reverted):
        registry.send("set_base_url", "x" * 201, sender=operator.address)
