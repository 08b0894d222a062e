"""The further streams on a real chain, asked over HTTP: what a stranger finds out with three commands."""

import asyncio
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from evmesh.app import plan, verify
from evmesh.app.http_server import HttpServer
from evmesh.app.problems import install
from evmesh.app.records_api import add_records
from evmesh.app.verifier_source import this_algorithm, verifier_sha256
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream, stream_leaf_hash
from evmesh.domain.errors import Refused
from evmesh.domain.merkle import MerkleLog
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.trust import Trust
from evmesh.services.directory import Operator
from evmesh.services.receipts import chain_ref
from evmesh.services.records import Records
from evmesh.services.stream_anchors import StreamAnchors
from evmesh.services.stream_log import ScheduleLog, StreamLog, publish_algorithm
from evmesh.services.stream_proofs import StreamProofs
from evmesh.services.stream_trees import StreamTrees
from evmesh.services.transitions import Transitions
from evmesh.verify.case import PlanFiles
from tests.contract.ledger_world import Ledger, running_ledger
from tests.fakes.world import SIGNATURES, running
from tests.unit.verify.commitment_factory import make_session_record
from tests.unit.verify.receipt_factory import OPERATOR, make_plan, make_receipt_on

GAS_OF_THREE = 65_000
"""What an anchor of three streams may cost, all of them known to the chain already."""


@dataclass
class Place:
    """One operator's streams, on chain and on the web."""

    ledger: Ledger
    transitions: Transitions
    anchors: StreamAnchors
    proofs: StreamProofs
    log: StreamLog
    files: PlanFiles
    folder: Path
    url: str

    @property
    def chain(self) -> ChainRef:
        return chain_ref(self.ledger.deployment.contracts)

    async def record(self, number: int) -> Receipt:
        """File the record of one more charge."""
        receipt = make_receipt_on(self.chain, asset=number, base=0, epoch=0)
        async with self.transitions.begin() as work:
            payload = make_session_record(receipt).encode()
            await self.log.append(work.unit, Stream.RECORDS, payload, f"session {number}", work.now)
        return receipt

    async def plan(self) -> str:
        """File the commitment to a plan and the plan; give the schedule's hash."""
        schedules = ScheduleLog(self.log, verifier_sha256())
        problem, schedule = self.file("problem.json"), self.file("schedule.json")
        problem.write_bytes(self.files.problem)
        schedule.write_bytes(self.files.schedule)
        hashes = [sha256(one).hexdigest() for one in (self.files.problem, self.files.schedule)]
        async with self.transitions.begin() as work:
            await schedules.commit(work.unit, work.now, hashes[0])
            await schedules.answer(work.unit, work.now, *hashes)
        return hashes[1]

    def file(self, name: str) -> Path:
        return self.folder / name

    async def next_step(self) -> None:
        """A quarter of an hour later, the anchor is due."""
        self.ledger.clock.move(minutes=15)
        await self.anchors.anchor(self.ledger.clock.now())

    async def run(self, *arguments: str) -> Result:
        """Run `evmesh plan …` or `evmesh verify …` as a stranger would: in another thread."""
        app = {"plan": plan.app, "verify": verify.app}[arguments[0]]
        trust = self.file("trust.json")
        words = [*arguments[1:], "--rpc", self.ledger.rpc.url, "--trust", str(trust)]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    async def records(self, *more: str) -> dict[str, str]:
        """Give what `evmesh verify records` says of each check."""
        result = await self.run("verify", "records", "--operator", self.url, "--json", *more)
        checks = json.loads(result.stdout)["checks"]
        assert (result.exit_code == 6) == any(check["status"] == "failed" for check in checks)
        return {check["name"]: check["code"] or check["status"] for check in checks}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running_ledger(tmp_path) as ledger:
        contracts = ledger.deployment.contracts
        operator = Operator(ledger.keys.operator, ledger.keys.gateway, ledger.keys.notary.address, contracts)
        transitions = Transitions(ledger.database, ledger.clock, lambda _: None)
        log, trees = StreamLog(lambda size: b"\x5a" * size), StreamTrees()
        records = Records(transitions, operator, SIGNATURES, log)
        proofs = StreamProofs(transitions, trees, contracts, operator.notary)
        await publish_algorithm(transitions, log, this_algorithm())
        app = FastAPI()
        install(app)
        add_records(app, records=records, proofs=proofs, trees=trees)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        trust = Trust(chain_ref(contracts), frozenset({OPERATOR.address}), frozenset({operator.notary}), {})
        (tmp_path / "trust.json").write_bytes(canonical_json(trust.to_json()))
        receipt = make_receipt_on(chain_ref(contracts), asset=1, base=0, epoch=0)
        async with running(HttpServer(app, port)):
            yield Place(
                ledger,
                transitions,
                StreamAnchors(transitions, ledger.clock, ledger.notary(), trees, records),
                proofs,
                log,
                make_plan(receipt.request)[1],
                tmp_path,
                await listening(f"http://127.0.0.1:{port}"),
            )


async def listening(url: str) -> str:
    async with httpx.AsyncClient(timeout=60) as client, asyncio.timeout(60):
        while True:
            try:
                await client.get(f"{url}/v1/streams")
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                return url


async def test_three_streams_cost_one_transaction_in_each_step(place: Place) -> None:
    for number in (1, 2):
        await place.record(number)
        await place.plan()
        async with place.transitions.begin() as work:
            await place.log.append(work.unit, Stream.ALGORITHMS, b"%d" % number, str(number), work.now)
        await place.next_step()
    rows = await place.ledger.journal.since_block(place.ledger.keys.notary.address, 0)
    gas = [row.outcome.gas_used for row in rows if row.outcome and row.key.startswith("streams:")]
    assert len(gas) == 2
    assert gas[1] <= GAS_OF_THREE


async def test_a_stranger_finds_the_list_complete_and_never_rewritten(place: Place) -> None:
    for number in range(1, 4):
        await place.record(number)
        await place.next_step()
    assert set((await place.records()).values()) == {"ok"}
    await place.record(4)
    assert (await place.records("-o", str(place.file("list.json"))))["all anchored"] == "not_checked"
    result = await place.run("verify", "records", "--operator", str(place.file("list.json")))
    assert result.exit_code == 0, result.output
    assert "consistent with all 3 heads" in result.output
    # a node of another chain says nothing on it
    kept = json.loads(place.file("list.json").read_bytes())
    names = [name for name in kept["chain"] if name != "chain_id"]
    kept["chain"] |= {name: f"0x{digit * 40}" for name, digit in zip(names, "abcd", strict=True)}
    place.file("elsewhere.json").write_bytes(canonical_json(kept))
    words = ["records", "--operator", str(place.file("elsewhere.json")), "--rpc", place.ledger.rpc.url]
    result = await asyncio.to_thread(CliRunner().invoke, verify.app, words)
    assert (result.exit_code, "chain.no_contracts" in result.output) == (3, True), result.output


async def test_an_anchor_that_rewrites_history_ends_with_exit_code_6(place: Place) -> None:
    for number in range(1, 4):
        await place.record(number)
        await place.next_step()
    forged = stream_leaf_hash(Stream.RECORDS, bytes(32), b"another charge")
    with sqlite3.connect(place.folder / "state.db") as database:
        database.execute(
            'UPDATE stream_leaves SET hash = ? WHERE stream = ? AND "index" = 1',
            (forged, Stream.RECORDS.value),
        )
    found = await place.records()
    assert (found["newest head"], found["earlier heads"]) == ("anchor.other_root", "anchor.rewritten")

    await place.record(4)  # whoever rewrites the list also anchors it anew
    async with place.ledger.database.begin() as unit:
        log = MerkleLog(await unit.stream_hashes(Stream.RECORDS, 0, 10))
    await place.ledger.notary().anchor(Stream.RECORDS.id, log.size, log.root(), "forged")
    found = await place.records()
    assert (found["newest head"], found["earlier heads"]) == ("ok", "anchor.rewritten")
    result = await place.run("verify", "records", "--operator", place.url)
    assert result.exit_code == 6
    assert "its past was rewritten" in result.output


async def test_a_list_that_leaves_the_newest_record_out_is_false(place: Place) -> None:
    for number in (1, 2):
        await place.record(number)
    await place.next_step()
    with sqlite3.connect(place.folder / "state.db") as database:
        database.execute(
            'DELETE FROM stream_leaves WHERE stream = ? AND "index" = 1', (Stream.RECORDS.value,)
        )
    assert (await place.records())["newest head"] == "list.incomplete"


async def test_a_record_stays_provable_while_the_list_grows(place: Place) -> None:
    receipt = await place.record(1)
    await place.next_step()
    async with place.ledger.database.begin() as unit:
        [leaf] = await unit.stream_leaves_of(Stream.RECORDS, "session 1")
    proof, receipt_file = place.file("record.json"), place.file("receipt.json")
    proof.write_bytes(canonical_json((await place.proofs.of_leaf(leaf)).to_json()))
    receipt_file.write_bytes(receipt.encode())
    for number in (2, 3):
        await place.record(number)
        await place.next_step()
    words = ("verify", "record", str(proof), "--receipt", str(receipt_file), "--json")
    alone = json.loads((await place.run(*words)).stdout)
    assert [one["name"] for one in alone["checks"] if one["status"] != "ok"] == ["history"]
    asked = json.loads((await place.run(*words, "--operator", place.url)).stdout)
    assert {one["status"] for one in asked["checks"]} == {"ok"}, asked


async def test_a_plan_is_shown_to_have_been_committed_to_before_it_was_used(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await place.plan()
    words = ("plan", "verify", str(place.file("problem.json")), str(place.file("schedule.json")))
    early = await place.run(*words, "--operator", place.url)
    assert early.exit_code == 0
    assert "the operator gives no proof: it is not anchored yet" in early.output
    with pytest.raises(Refused, match=r"proof\.not_yet"):
        await place.proofs.of_plan(schedule)
    await place.next_step()
    result = await place.run(*words, "--operator", place.url, "--json")
    checks = json.loads(result.stdout)["checks"]
    assert {check["status"] for check in checks} == {"ok"}, checks
    assert checks[0]["name"] == "certificate"

    proof = place.file("plan-proof.json")
    proof.write_bytes(canonical_json((await place.proofs.of_plan(schedule)).to_json()))
    assert (await place.run(*words, "--proof", str(proof))).exit_code == 0
    monkeypatch.setattr("evmesh.app.plan_commitment.verifier_sha256", lambda: bytes(32))
    other = await place.run(*words, "--proof", str(proof))
    assert other.exit_code == 0
    assert "not checked named verifier: the answer names the verifier" in other.output
    wrong = place.file("wrong.json")
    wrong.write_bytes(place.files.schedule.replace(b"4500", b"4499"))
    found = await place.run("plan", "verify", words[2], str(wrong), "--proof", str(proof))
    assert found.exit_code == 6
    assert "certificate, committed inputs, stated answer" in found.output


async def test_a_node_that_is_away_is_said_and_nothing_of_it_called_ok(place: Place) -> None:
    await place.record(1)
    await place.next_step()
    words = ["records", "--operator", place.url, "--rpc", "http://127.0.0.1:1", "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, verify.app, words)
    assert result.exit_code == 4
    assert {one["status"] for one in json.loads(result.stdout)["checks"][1:]} == {"not_checked"}


async def test_an_operator_that_is_away_leaves_what_needs_none_checked(place: Place) -> None:
    await place.record(1)
    await place.next_step()
    async with place.ledger.database.begin() as unit:
        [leaf] = await unit.stream_leaves_of(Stream.RECORDS, "session 1")
    proof = place.file("record.json")
    proof.write_bytes(canonical_json((await place.proofs.of_leaf(leaf)).to_json()))
    await place.record(2)
    await place.next_step()
    nobody = ("--operator", "http://127.0.0.1:1", "--json")
    result = await place.run("verify", "record", str(proof), *nobody)
    assert result.exit_code == 4
    assert {one["name"]: one["status"] for one in json.loads(result.stdout)["checks"]}["anchor"] == "ok"
    await place.plan()
    files = [str(place.file(name)) for name in ("problem.json", "schedule.json")]
    result = await place.run("plan", "verify", *files, *nobody)
    assert result.exit_code == 4
    checks = json.loads(result.stdout)["checks"]
    assert [one["name"] for one in checks if one["status"] == "ok"] == ["certificate"]
