"""What the chain, the files, the meters and the database say after all the kills, read once.

The chain and the simulated meters are the judges; the platform's own database is a party.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.run_file import RunFile
from evmesh.domain.chain import Tab
from evmesh.domain.commitment import Stream
from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.readings import METER_STREAM
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Way
from evmesh.domain.trust import Trust
from evmesh.ledger.abi import decode_values, event_topic
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.keys import open_keys
from evmesh.ledger.notary import AnchorLog, NotaryReader
from evmesh.ledger.rpc import JsonRpc, from_hex
from evmesh.ledger.signatures import EthereumSignatures, KeySigner
from evmesh.ledger.token import Token
from evmesh.verify.case import PlanFiles
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report
from tests.e2e.kill.world import Row, World

_TRANSFER = event_topic("Transfer(address,address,uint256)")
_CLAIMED = event_topic("Claimed(address,uint256,uint256)")
_CLOSED = event_topic("Closed(address,address,uint256,uint256,uint256)")
_SKIPPED = event_topic("RowSkipped(address,address,uint256,uint256)")
_NOWHERE = Address("0x" + 40 * "0")


@dataclass(frozen=True)
class Closing:
    """A tab that was closed: what was spent in that epoch, what went back."""

    payer: str
    epoch: int
    spent: int
    returned: int


@dataclass(frozen=True)
class Moved:
    """Tokens that came to a deposit address, or left it."""

    tx_hash: bytes
    sender: str
    receiver: str
    amount: int


@dataclass(repr=False)
class Vault:
    """One escrow, the token in it, and what the chain says of both."""

    escrow: Address
    token: Address
    minted: int = 0
    burnt: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    """Every account that ever received tokens."""
    tabs: dict[str, Tab] = field(default_factory=dict)
    earned: int = 0
    paid_out: int = 0
    claims: list[tuple[str, int]] = field(default_factory=list)
    """(transaction, amount) of every claim on chain."""
    claimed_rows: int = 0
    """Rows of all claims that were settled: several sessions may go together in one."""
    skipped: int = 0
    closings: list[Closing] = field(default_factory=list)


@dataclass(repr=False)
class Books:
    """Everything, by who says it."""

    sessions: list[Row] = field(default_factory=list)
    journal: dict[str, list[Row]] = field(default_factory=dict)
    transactions: list[Row] = field(default_factory=list)
    leaves: list[Row] = field(default_factory=list)
    heads: dict[str, Row] = field(default_factory=dict)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    owed: list[Row] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)
    deposits: list[Row] = field(default_factory=list)
    deposit_addresses: dict[int, str] = field(default_factory=dict)
    """By asset."""

    registers_ws: dict[tuple[str, int], int] = field(default_factory=dict)
    """What the simulated meters counted, in watt-seconds, by station and connector."""
    kept_receipts: dict[str, bytes] = field(default_factory=dict)
    """The files that drivers kept."""

    own: Vault = field(default_factory=lambda: Vault(_NOWHERE, _NOWHERE))
    flex: Vault = field(default_factory=lambda: Vault(_NOWHERE, _NOWHERE))
    moved: list[Moved] = field(default_factory=list)
    """To and from deposit addresses, which are of the site's own money."""
    anchors: list[AnchorLog] = field(default_factory=list)
    streams: dict[Stream, list[Row]] = field(default_factory=dict)
    """The leaves of each further stream."""
    stream_anchors: dict[Stream, list[AnchorLog]] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)

    unfinished: list[str] = field(default_factory=list)
    """What had not come to an end when time was up."""
    operator: str = ""

    @property
    def vaults(self) -> tuple[Vault, Vault]:
        """Give both escrows, the site's own money first."""
        return self.own, self.flex

    def vault_of(self, session: Row) -> Vault:
        """Give the escrow that a session is paid by."""
        return next(one for one in self.vaults if one.escrow.text == session["escrow"])

    def ended(self, *states: str) -> list[Row]:
        """Give the sessions that ended so, oldest first."""
        return [row for row in self.sessions if row["state"] in states]

    def in_tabs(self, vault: Vault, *states: str) -> list[Row]:
        """Give those of them whose money was in an escrow."""
        mine = (row for row in self.ended(*states) if self.vault_of(row) is vault)
        return [row for row in mine if row["way"] != Way.TRANSFER]


async def is_paid_out(world: World) -> bool:
    """Tell whether the operator has all that it earned, and has destroyed what of it is its own FLEX."""
    contracts, payee = load_deployment(world.data).contracts, open_keys(world.data / "keys").operator.address
    with contextlib.suppress(Unavailable):
        async with JsonRpc(RunFile.load(world.data).rpc_url) as rpc:
            for escrow in (contracts.charge_tab, contracts.flex_tab):
                earned, paid = await TabReader(rpc, escrow).account(payee)
                if earned != paid:
                    return False
            return not await Token(rpc, contracts.flex, contracts.chain_id).balance(payee)
    return False


async def read_books(world: World, wallets: list[str]) -> Books:
    """Read everything of a world where nothing moves any more; `wallets` are known besides the simulated."""
    books = Books()
    _read_state(world, books)
    _read_hardware(world, books)
    async with JsonRpc(RunFile.load(world.data).rpc_url) as rpc:
        await _read_chain(world, books, rpc, wallets)
    await _check_receipts(world, books)
    return books


def _read_state(world: World, books: Books) -> None:
    books.sessions = world.rows("SELECT * FROM sessions ORDER BY id")
    for row in world.rows("SELECT * FROM journal ORDER BY number"):
        books.journal.setdefault(row["session"], []).append(row)
    books.transactions = world.rows("SELECT * FROM ocpp_transactions ORDER BY id")
    books.leaves = world.rows('SELECT * FROM notary_leaves ORDER BY "index"')
    books.heads = {row["session"]: row for row in world.rows("SELECT * FROM heads")}
    books.documents = {
        (row["session"], row["format"]): row["raw"] for row in world.rows("SELECT * FROM documents")
    }
    books.owed = world.rows("SELECT * FROM effects WHERE done = 0")
    books.transfers = world.rows("SELECT * FROM transfers")
    books.deposits = world.rows("SELECT * FROM deposits")
    places = world.rows("SELECT asset, deposit_address FROM places")
    books.deposit_addresses = {row["asset"]: row["deposit_address"] for row in places}


def _read_hardware(world: World, books: Books) -> None:
    for row in world.rows("SELECT station, connector, register_ws FROM evse", database="sim/sim.db"):
        books.registers_ws[row["station"], row["connector"]] = row["register_ws"]
    kept = world.data / "sim" / "receipts"
    books.kept_receipts = {path.stem: path.read_bytes() for path in kept.glob("*.json")}


async def _read_chain(world: World, books: Books, rpc: JsonRpc, wallets: list[str]) -> None:
    contracts = load_deployment(world.data).contracts
    keys = open_keys(world.data / "keys")
    books.operator = keys.operator.address.text
    books.own = Vault(contracts.charge_tab, contracts.token)
    books.flex = Vault(contracts.flex_tab, contracts.flex)
    simulated = [
        KeySigner(bytes.fromhex(path.read_text().strip())).address.text
        for path in (world.data / "sim" / "wallets").glob("*.key")
    ]
    ours = set(books.deposit_addresses.values())
    for vault in books.vaults:
        token = Token(rpc, vault.token, contracts.chain_id)
        moved = [_moved(log) for log in await _logs(rpc, vault.token, _TRANSFER)]
        vault.minted = sum(one.amount for one in moved if one.sender == _NOWHERE.text)
        vault.burnt = sum(one.amount for one in moved if one.receiver == _NOWHERE.text)
        received = {one.receiver for one in moved} - {_NOWHERE.text}
        known = {*wallets, *simulated, *ours, books.operator, vault.escrow.text}
        assert received <= known, f"tokens went to strangers: {received - known}"
        for account in sorted(known | received):
            vault.balances[account] = await token.balance(Address.parse(account))
        books.moved += [one for one in moved if ours & {one.sender, one.receiver}]
        payers = sorted({row["payer"] for row in books.sessions})
        await _read_escrow(rpc, vault, keys.operator.address, payers)
    reader = NotaryReader(rpc, contracts.notary)
    books.anchors = await reader.logs(keys.notary.address, METER_STREAM)
    for stream in Stream:
        books.stream_anchors[stream] = await reader.logs(keys.notary.address, stream.id)
        books.streams[stream] = world.rows(  # after the chain: these go on as long as the platform runs
            'SELECT * FROM stream_leaves WHERE stream = ? ORDER BY "index"', stream.value
        )


async def _read_escrow(rpc: JsonRpc, vault: Vault, payee: Address, payers: list[str]) -> None:
    tabs = TabReader(rpc, vault.escrow)
    found = await tabs.tabs(payee, [Address.parse(payer) for payer in payers])
    vault.tabs = dict(zip(payers, found, strict=True))
    vault.earned, vault.paid_out = await tabs.account(payee)
    for log in await _logs(rpc, vault.escrow, _CLAIMED):
        amount, settled = decode_values(("uint256", "uint256"), from_hex(log["data"]))
        vault.claims.append((log["transactionHash"], amount))
        vault.claimed_rows += settled.bit_count()
    vault.skipped = len(await _logs(rpc, vault.escrow, _SKIPPED))
    for log in await _logs(rpc, vault.escrow, _CLOSED):
        epoch, spent, returned = decode_values(("uint256",) * 3, from_hex(log["data"]))
        vault.closings.append(Closing("0x" + log["topics"][2][-40:], epoch, spent, returned))


def _moved(log: dict[str, Any]) -> Moved:
    sender, receiver = ("0x" + topic[-40:] for topic in log["topics"][1:])
    return Moved(from_hex(log["transactionHash"]), sender, receiver, int(log["data"], 16))


async def _logs(rpc: JsonRpc, contract: Address, topic: str) -> list[dict[str, Any]]:
    wanted = {"address": contract.text, "fromBlock": "0x0", "toBlock": "latest", "topics": [topic]}
    logs: list[dict[str, Any]] = await rpc.call("eth_getLogs", wanted)
    return logs


async def _check_receipts(world: World, books: Books) -> None:
    """Verify each receipt as a stranger would who trusts this operator's keys and asks the chain."""
    url, trust = RunFile.load(world.data).rpc_url, _trust(world)
    for (session, form), raw in books.documents.items():
        if form != Receipt.FORMAT:
            continue
        receipt = Receipt.parse(raw)
        (plan,) = world.rows(
            "SELECT problem, schedule FROM plans WHERE schedule_sha256 = ?",
            receipt.plan.schedule_sha256.hex(),
        )
        files = PlanFiles(plan["problem"], plan["schedule"])
        facts = await read_chain_facts(url, receipt)
        books.reports[session] = await asyncio.to_thread(
            verify_receipt, raw, EthereumSignatures(), trust, files, facts
        )


def _trust(world: World) -> Trust:
    contracts, keys = load_deployment(world.data).contracts, open_keys(world.data / "keys")
    codes: dict[str, str] = json.loads((world.data / "codes.json").read_text())
    return Trust(
        chain=contracts.ref(),
        payees=frozenset({keys.operator.address}),
        publishers=frozenset({keys.notary.address}),
        meters={f"NL*EVM*E{name.replace('-', '')}": keys.gateway.address for name in codes},
        flex=contracts.flex_money,
    )
