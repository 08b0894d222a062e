"""What each ledger transaction costs, on anvil as of cancun, in the steady state and at first use.

The ceilings are those of the design: a figure above its ceiling fails the run. The baseline of a
session's payment is the plain way: approve, open, close, each time, with an escrow of ten lines.
"""

from collections.abc import Iterator

from bench.figure import Figure
from tests.contract.chain import Chain, Contract, Person, running_anvil
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

ROW_COUNTS = (1, 10, 100, 200)


def run() -> list[Figure]:
    """Measure on one chain; raises AssertionError where a ceiling of the design is passed."""
    with running_anvil() as chain:
        world = World.build(chain)
        return [
            *_registry(chain, world),
            *_notary(chain, world),
            *_deposits(chain, world),
            *_claims(chain, world),
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


def _notary(chain: Chain, world: World) -> Iterator[Figure]:
    notary = chain.deploy("MeterNotary", sender=world.operator.address)
    sender = world.operator.address
    streams = [bytes([number]) * 32 for number in range(1, 21)]
    yield _figure(
        "anchor, first of a stream", notary.send("anchor", streams[0], 100_000, ROOT, sender=sender).gas
    )
    yield _figure("anchor", notary.send("anchor", streams[0], 200_000, ROOT, sender=sender).gas, 35_000)
    notary.send("anchor_many", [(stream, 300_000, ROOT) for stream in streams], sender=sender)
    batch = notary.send("anchor_many", [(stream, 400_000, ROOT) for stream in streams], sender=sender).gas
    yield _figure("anchor, each of 20", batch / 20, 25_000)


def _deposits(chain: Chain, world: World) -> Iterator[Figure]:
    world.deposit(EURO, payer=_driver(chain, world, "somebody else"))  # the escrow holds money already
    yield _figure("deposit by permit, new driver", world.deposit_with_permit(20 * EURO).gas)
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


def _claims(chain: Chain, world: World) -> Iterator[Figure]:
    """Each row is another driver, whose tab was claimed from before."""
    plain = _plain_session(chain, world)
    drivers = [_driver(chain, world, f"driver {number}") for number in range(max(ROW_COUNTS))]
    for driver in drivers:
        world.deposit(1000 * EURO, payer=driver)
    total = EURO
    claim = world.claim(*[world.row(total, signer=driver) for driver in drivers])
    yield _figure("claim, each of 200, first of a tab", claim.gas / 200)
    for count in ROW_COUNTS:
        total += EURO
        gas = world.claim(*[world.row(total, signer=driver) for driver in drivers[:count]]).gas / count
        ceiling = {200: 10_900}.get(count)
        yield _figure(f"claim, each of {count}", gas, ceiling)
        if count == 200:
            yield _figure("pay a session, 10 a voucher", gas / 10, 2_400, plain)


def _plain_session(chain: Chain, world: World) -> int:
    escrow = chain.deploy_source(PLAIN_ESCROW, world.token.address, sender=world.thief.address)
    driver = _driver(chain, world, "plain driver")
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


def _driver(chain: Chain, world: World, role: str) -> Person:
    driver = Person.make(chain, role)
    world.token.send("mint", driver.address, 2000 * EURO, sender=world.token.call("minter"))
    return driver
