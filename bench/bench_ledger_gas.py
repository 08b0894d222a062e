"""What each ledger transaction costs, on anvil as of cancun, in the steady state and at first use.

The ceilings are those of the design: a figure above its ceiling fails the run. The baseline of a
session's payment is the plain way: approve, open, close, each time, with an escrow of ten lines.
"""

from collections.abc import Iterator, Sequence

from bench.figure import Figure
from tests.contract.chain import CHAIN_ID, Chain, Contract, Person, compact, running_anvil
from tests.contract.tab_world import EURO, World

PLAIN_ESCROW = """
# pragma version 0.4.3
# pragma evm-version cancun
from ethereum.ercs import IERC20
struct Session:
    payer: address
    payee: address
    amount: uint256
TOKEN: immutable(IERC20)
sessions: HashMap[bytes32, Session]
@deploy
def __init__(token: address):
    TOKEN = IERC20(token)
@external
def open(id: bytes32, payee: address, amount: uint256):
    assert self.sessions[id].payer == empty(address)
    assert extcall TOKEN.transferFrom(msg.sender, self, amount)
    self.sessions[id] = Session(payer=msg.sender, payee=payee, amount=amount)
@external
def close(id: bytes32, cost: uint256):
    session: Session = self.sessions[id]
    assert msg.sender == session.payee and cost <= session.amount
    self.sessions[id] = empty(Session)
    assert extcall TOKEN.transfer(session.payee, cost)
    assert extcall TOKEN.transfer(session.payer, session.amount - cost)
"""

ROOT = b"\x5a" * 32
EVSE = 1 << 160 | 1 << 168 | 2 << 176 | 22_000 << 184 | 7 << 216
"""kind EVSE, in service, type 2 socket, 22 kW, group 7"""
STEP = 1_980_000

ROW_COUNTS = (1, 10, 100, 200)
SESSIONS_A_ROW = 10
SESSIONS_A_TAB = 200


def run() -> list[Figure]:
    """Measure on one chain; raises AssertionError where a ceiling of the design is passed."""
    with running_anvil() as chain:
        world = World.build(chain)
        opening = _opening(chain, world)
        return [
            *_registry(chain, world),
            *_status(chain, world),
            *_notary(chain, world),
            *_board(chain, world),
            *_flex(chain, world),
            *_deposits(chain, world, opening),
            *_claims(chain, world, opening / SESSIONS_A_TAB),
        ]


def _figure(name: str, gas: float, ceiling: float | None = None, baseline: float | None = None) -> Figure:
    assert ceiling is None or gas <= ceiling, f"{name}: {gas} gas is above {ceiling}"
    return Figure(name, "gas", gas, baseline, "plain escrow" if baseline else "", exact=True)


def _registry(chain: Chain, world: World) -> Iterator[Figure]:
    registry = chain.deploy("AssetRegistry", sender=world.operator.address)
    deposit = int(world.thief.address, 16)
    place = deposit | 142_520_008 << 160 | 193_404_954 << 188 | 450_000 << 217

    def register(after: int) -> int:
        return registry.send("register", after, EVSE, place, ROOT, sender=world.operator.address).gas

    register(0)
    yield _figure("register an EVSE", register(1), 95_000)
    register(2)
    yield _figure("register an EVSE, another came first", register(2))
    yield _figure("set a price", registry.send("set_price", 2, 470_000, sender=world.operator.address).gas)


def _status(chain: Chain, world: World) -> Iterator[Figure]:
    """Records of charging EVSEs; maps in which every state changes each time."""
    status = chain.deploy("AssetStatus", sender=world.operator.address)
    sender = world.operator.address
    facts = 3 << 72 | 0b01111 << 80 | 80 << 88 | 11_000 << 96 | 22_000 << 128 | 25_000 << 160 | 14_400 << 192
    records = [asset | STEP << 40 | facts for asset in range(70_000, 70_100)]
    yield _figure("record, each of 100", status.send("publish", records, sender=sender).gas / 100, 2_500)
    for count, ceiling in ((100, 370), (6_400, 100)):
        words = 1 + (count - 56 + 63) // 64
        first, again = (
            status.send(
                "set_map",
                *(count, [STEP + later | _states(later, 56) << 32, *[_states(later, 64)] * (words - 1)]),
                sender=sender,
            ).gas
            for later in (0, 1)
        )
        yield _figure(f"state, each of {count:,}, first of a map", first / count)
        yield _figure(f"state, each of {count:,}", again / count, ceiling)


def _states(later: int, count: int) -> int:
    return sum((1 + (place + later) % 11) << 4 * place for place in range(count))


def _notary(chain: Chain, world: World) -> Iterator[Figure]:
    notary = chain.deploy("MeterNotary", sender=world.operator.address)
    sender = world.operator.address
    streams = [bytes([number]) * 32 for number in range(1, 21)]
    yield _figure(
        "anchor, first of a stream", notary.send("anchor", streams[0], 100_000, ROOT, sender=sender).gas
    )
    anchor = notary.send("anchor", streams[0], 200_000, ROOT, sender=sender).gas
    yield _figure("anchor", anchor, 35_000)
    yield _figure("anchor, each of 100,000 readings", anchor / 100_000, 0.35)
    notary.send("anchor_many", [(stream, 300_000, ROOT) for stream in streams], sender=sender)
    batch = notary.send("anchor_many", [(stream, 400_000, ROOT) for stream in streams], sender=sender).gas
    yield _figure("anchor, each of 20", batch / 20, 25_000)


def _board(chain: Chain, world: World) -> Iterator[Figure]:
    """Two hundred bytes without a zero, as ciphertext has hardly any."""
    board = chain.deploy("MessageBoard", sender=world.operator.address)
    bodies = [bytes(1 + (place * factor) % 255 for place in range(200)) for factor in (7, 11)]
    first, again, repeated = (
        board.send("post", ROOT, body, sender=world.operator.address).gas
        for body in (bodies[0], bodies[1], bodies[1])
    )
    yield _figure("message of 200 bytes, first under a tag", first, 53_000)
    yield _figure("message of 200 bytes", again, 35_000)
    yield _figure("message of 200 bytes, repeated", repeated)


def _flex(chain: Chain, world: World) -> Iterator[Figure]:
    flex = chain.deploy("FlexToken", world.operator.address, 10**12, sender=world.thief.address)
    holders = [Person.make(chain, f"holder {number}") for number in range(100)]
    first, again = (
        flex.send(
            "mint",
            [_flex_row(flex, world.operator, holder, total) for holder in holders],
            sender=world.relayer.address,
        ).gas
        for total in (EURO, 2 * EURO)
    )
    yield _figure("FLEX made, each of 100, first of a holder", first / 100)
    yield _figure("FLEX made, each of 100", again / 100)


def _flex_row(flex: Contract, issuer: Person, holder: Person, total: int) -> list[int]:
    signature = issuer.sign(
        {"name": "Flexibility", "version": "1", "chainId": CHAIN_ID, "verifyingContract": flex.address},
        "FlexVoucher",
        "address holder,uint96 cumulative,bytes32 certificate",
        {"holder": holder.address, "cumulative": total, "certificate": ROOT},
    )
    return [*compact(signature), int(holder.address, 16) | total << 160, int.from_bytes(ROOT, "big")]


def _deposits(chain: Chain, world: World, opening: int) -> Iterator[Figure]:
    world.deposit(EURO, payer=_driver(world, "somebody else"))  # the escrow holds money already
    with chain.undone():
        yield _figure("deposit by authorization, new driver", world.deposit_with_authorization(20 * EURO).gas)
        again = world.deposit_with_authorization(20 * EURO, b"\x01" * 32).gas
        yield _figure("deposit by authorization, top-up", again)
    yield _figure("deposit by permit, new driver", opening)
    world.deposit_with_permit(20 * EURO)
    top_up = world.deposit_with_permit(40 * EURO, permitted=20 * EURO)
    yield _figure("deposit by permit, top-up", top_up.gas)
    world.token.send("approve", world.tab.address, 20 * EURO, sender=world.driver.address)
    deposit = world.tab.send("deposit", world.operator.address, 20 * EURO, sender=world.driver.address)
    yield _figure("deposit, approved before", deposit.gas)
    world.claim(world.row(7 * EURO))
    yield _figure("close, rest returned", world.close(7 * EURO).gas)
    yield _figure(
        "payout", world.tab.send("payout", world.operator.address, sender=world.relayer.address).gas
    )


def _opening(chain: Chain, world: World) -> int:
    """Measure a new driver's first deposit, by permit, where the escrow holds money already."""
    with chain.undone():
        world.deposit(EURO, payer=_driver(world, "somebody else"))
        return world.deposit_with_permit(20 * EURO).gas


def _claims(chain: Chain, world: World, opening: float) -> Iterator[Figure]:
    """Each row is another driver, whose tab was claimed from before."""
    plain = plain_session(chain, world)
    yield _figure("plain escrow: approve, open and close", plain)
    drivers = [_driver(world, f"driver {number}") for number in range(max(ROW_COUNTS))]
    for driver in drivers:
        world.deposit(1000 * EURO, payer=driver)
        world.allow(owner=driver)
    yield from _vouchers(world, drivers, opening, plain)
    yield from _refills(world, drivers, opening, plain)


def _vouchers(world: World, drivers: Sequence[Person], opening: float, plain: int) -> Iterator[Figure]:
    total = EURO
    claim = world.claim(*[world.row(total, signer=driver) for driver in drivers])
    yield _figure("claim, each of 200, first of a tab", claim.gas / 200)
    for count in ROW_COUNTS:
        total += EURO
        gas = world.claim(*[world.row(total, signer=driver) for driver in drivers[:count]]).gas / count
        yield _figure(f"claim, each of {count}", gas, {200: 10_900}.get(count))
        if count == max(ROW_COUNTS):
            yield from _sessions("10 a voucher", gas, opening, plain)


def _refills(world: World, drivers: Sequence[Person], opening: float, plain: int) -> Iterator[Figure]:
    """Each row settles a debt and pulls the tab's ceiling up by what was spent."""
    total = 10 * EURO
    for count in ROW_COUNTS:
        total += EURO
        rows = [world.refill_row(total, 1000 * EURO + total, signer=driver) for driver in drivers[:count]]
        receipt = world.claim_refill(*rows)
        assert receipt.events("Refilled")[0]["pulled"] == (1 << count) - 1
        gas = receipt.gas / count
        yield _figure(f"refill, each of {count}", gas, {100: 22_500}.get(count))
        if count == 100:
            yield from _sessions("10 a refill", gas, opening, plain)


def _sessions(how: str, row: float, opening: float, plain: int) -> Iterator[Figure]:
    gas = row / SESSIONS_A_ROW
    yield _figure(f"pay a session, {how}", gas, 2_400, plain)
    yield _figure(
        f"pay a session, {how}, with opening at {SESSIONS_A_TAB} sessions a tab", gas + opening, 2_900, plain
    )


def plain_session(chain: Chain, world: World) -> int:
    """Give the gas of a session paid the plain way, in the steady state."""
    escrow = chain.deploy_source(PLAIN_ESCROW, world.token.address, sender=world.thief.address)
    driver = _driver(world, "plain driver")
    _plain_charge(world, escrow, driver, b"\x01" * 32)  # the second one is the steady state
    return _plain_charge(world, escrow, driver, b"\x02" * 32)


def _plain_charge(world: World, escrow: Contract, driver: Person, session: bytes) -> int:
    return sum(
        receipt.gas
        for receipt in (
            world.token.send("approve", escrow.address, 20 * EURO, sender=driver.address),
            escrow.send("open", session, world.operator.address, 20 * EURO, sender=driver.address),
            escrow.send("close", session, 7 * EURO, sender=world.operator.address),
        )
    )


def _driver(world: World, role: str) -> Person:
    driver = Person.make(world.chain, role)
    world.token.send("mint", driver.address, 2000 * EURO, sender=world.token.call("minter"))
    return driver
