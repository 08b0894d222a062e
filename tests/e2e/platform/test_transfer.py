"""A wallet that evmesh has never seen pays a station's deposit address, on the real platform.

The station is driven by the `ocpp` library. The platform is killed by SIGKILL while the car charges; the
next one goes on, and everything that was sent is accounted for, to the unit.
"""

import asyncio
import json
import os
import secrets
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from evmesh.app.clock import SharedClock
from evmesh.app.deposit_facts import read_return_facts
from evmesh.app.receipt_facts import read_chain_facts, read_settlement_facts
from evmesh.app.run_file import RunFile
from evmesh.app.up import UpOptions, running
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt import Receipt
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import StopRequest
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.abi import encode_call
from evmesh.ledger.child_process import ChildRecord
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.keys import open_keys
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures, KeySigner, keccak256
from evmesh.ledger.token import Faucet, Token
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.returns import verify_return
from tests.drivers.ocpp_library_station import LibraryStation
from tests.e2e.platform.test_library_station import SITE

EURO = 1_000_000
PRICE = 350_000
SPEED = 60
"""A station has five minutes to begin what it was told to: five seconds, on a machine that may be busy."""


class PacedStation(LibraryStation):
    """Lets the time pass that its energy takes."""

    clock: SharedClock

    async def meter(self, step_wh: int) -> None:
        await self.clock.sleep_until(self.clock.now() + timedelta(minutes=4))
        await super().meter(step_wh)


class Stranger:
    """A wallet with tokens and gas that knows nothing but an address."""

    def __init__(self, data: Path, run: RunFile, journal: Path) -> None:
        self.key = KeySigner(secrets.token_bytes(31) + b"\1")
        self._deployment = load_deployment(data)
        self._keys = open_keys(data / "keys")
        self._run = run
        self._journal = journal

    async def fill(self) -> None:
        """Have tokens minted, and native currency for gas."""
        async with JsonRpc(self._run.rpc_url) as rpc:
            await rpc.call("anvil_setBalance", self.key.address.text, hex(10**20))
        await self._submit(self._keys.deployer, "mint", faucet=True)

    async def send(self, receiver: Address, amount: int, key: str) -> str:
        """Transfer tokens, as any wallet does; give the transaction's hash."""
        return await self._submit(self.key, key, receiver=receiver, amount=amount)

    async def stop(self, url: str, session: SessionId, clock: SharedClock) -> None:
        """Say stop, signed with the key that the tokens came from."""
        contracts, at = self._deployment.contracts, int(clock.now().timestamp())
        domain = Domain(contracts.chain_id, contracts.charge_tab)
        word = digest(domain, StopRequest(session.to_bytes32(), at), keccak256)
        body = {"at": at, "signature": "0x" + self.key.sign(word).hex()}
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as api:
            answer = await api.post(f"/v1/sessions/{session}/stop", json=body)
        assert answer.status_code == 200, answer.text

    async def balance(self, account: Address) -> int:
        async with JsonRpc(self._run.rpc_url) as rpc:
            contracts = self._deployment.contracts
            return await Token(rpc, contracts.token, contracts.chain_id).balance(account)

    async def _submit(self, signer: KeySigner, key: str, *, faucet: bool = False, **to: Any) -> str:
        contracts = self._deployment.contracts
        database = Database(f"sqlite+aiosqlite:///{self._journal}")
        try:
            await database.migrate()
            async with JsonRpc(self._run.rpc_url) as rpc:
                sender = Relayer(rpc, signer, ChainJournal(database), chain_id=contracts.chain_id)
                if faucet:
                    mint = Faucet(contracts.token, sender)
                    return (await mint.mint(self.key.address, 50 * EURO, key)).tx_hash
                call = encode_call("transfer(address,uint256)", to["receiver"], to["amount"])
                return (await sender.submit(key, contracts.token, call)).tx_hash
        finally:
            await database.close()


async def until(url: str, path: str, holds: Any, within_s: float = 90) -> Any:
    """Ask the API until an answer is as wanted; the platform may be away meanwhile."""
    seen: Any = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as api:
                        answer = await api.get(path)
                    seen = answer.json()
                    if answer.status_code == 200 and holds(seen):
                        return seen
                except (httpx.TransportError, ValueError):
                    pass
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{path} never came to be as wanted: {json.dumps(seen)[:800]}") from None


@pytest.mark.timeout(240)
async def test_a_transfer_from_an_unknown_wallet_charges_a_car_and_the_remainder_comes_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    hours = "\n".join(f"2026-06-01T{hour:02}:00:00,{50 + hour}" for hour in range(24))
    (tmp_path / "prices.csv").write_text(hours + "\n")
    data = tmp_path / "data"
    options = UpOptions(tmp_path / "site.toml", data, port=0, ocpp_port=0, speed=SPEED, with_sim=False)
    async with running(options, lambda _: None) as run:
        clock = SharedClock(data / run.clock)
        code = json.loads((data / "codes.json").read_text())["LIB"]
        stranger = Stranger(data, run, tmp_path / "stranger.db")
        await stranger.fill()
        async with PacedStation.at(run.ocpp_url, "LIB-1", now=clock.now) as station:
            assert isinstance(station, PacedStation)
            station.clock = clock
            await station.boot()
            shown = await until(run.http_url, f"/v1/stations/{code}", lambda one: one["transfer"]["open"])
            deposit, fee = Address.parse(shown["deposit_address"]), int(shown["transfer"]["fee"])
            async with asyncio.TaskGroup() as group:
                charging = group.create_task(station.charge(samples=5, step_wh=400))
                tx_hash = await stranger.send(deposit, 5 * EURO, "pay")
                begun = await until(
                    run.http_url, f"/v1/transfers/{tx_hash}", lambda one: one["transfers"][0]["session"]
                )
                id = begun["transfers"][0]["session"]
                await until(run.http_url, f"/v1/sessions/{id}", lambda one: one["delivered_wh"] == 2_000)
                await stranger.stop(run.http_url, SessionId.parse(id), clock)
            charge = charging.result()
            assert charge.accepted == "Accepted"
        platform = ChildRecord.load(data / "platform.pid")
        assert platform is not None
        os.kill(platform.pid, signal.SIGKILL)

        found = await until(
            run.http_url,
            f"/v1/transfers/{tx_hash}",
            lambda one: one["transfers"][0]["returned"] is not None,
        )
        (transfer,) = found["transfers"]
        session = await until(
            run.http_url, f"/v1/sessions/{transfer['session']}", lambda one: one["state"] == "settled"
        )
        assert (session["way"], session["payer"]) == ("transfer", stranger.key.address.text)
        due = 2_000 * PRICE // 1000
        assert session["due"] == str(due)
        fee = int(transfer["fee"])
        assert await stranger.balance(stranger.key.address) == 50 * EURO - due - fee
        assert await stranger.balance(deposit) == 0
        payee = Address.parse(shown["payee"])
        assert await stranger.balance(payee) == due + fee

        async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api:
            raw = (await api.get(f"/v1/receipts/{session['id']}")).content
            settled = (await api.get(f"/v1/settlements/{session['id']}")).content
        receipt, settlement = Receipt.parse(raw), Settlement.parse(settled)
        report = verify_receipt(raw, EthereumSignatures(), chain=await read_chain_facts(run.rpc_url, receipt))
        assert report.ok, report.failed()
        by_name = {check.name: check.status.value for check in report.checks}
        assert {by_name[name] for name in ("vouchers", "settlement", "fee", "terms")} == {"ok"}, report
        assert receipt.payment is not None
        assert receipt.payment.terms.to_json() == shown["transfer"]["terms"]
        facts = await read_settlement_facts(run.rpc_url, settlement)
        after = verify_settlement(settled, EthereumSignatures(), raw, None, facts)
        assert after.ok, after
        assert {
            one.name: one.status.value for one in after.checks if one.name != "trusted payee"
        } == dict.fromkeys(
            ("form", "payee signature", "receipt", "stated amount", "transactions", "fee"), "ok"
        )

        # With no car the next transfer comes back by itself, in five minutes of the platform's time.
        async with PacedStation.at(run.ocpp_url, "LIB-1", now=clock.now) as station:
            await station.boot()
            second = await stranger.send(deposit, 3 * EURO, "pay again")
            await until(
                run.http_url,
                f"/v1/transfers/{second}",
                lambda one: (one["transfers"][0]["returned"] or {}).get("tx_hash"),
            )
        # Of what comes while the station is away no charge comes; that it goes back is promised at once.
        third = await stranger.send(deposit, 2 * EURO, "pay once more")
        await until(
            run.http_url, f"/v1/transfers/{third}", lambda one: one["transfers"][0]["status"] == "return"
        )
        async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api:
            word = (await api.get(f"/v1/transfers/{third}/return")).content
        await until(
            run.http_url,
            f"/v1/transfers/{third}",
            lambda one: (one["transfers"][0]["returned"] or {}).get("tx_hash"),
        )
        kept = await read_return_facts(run.rpc_url, TransferReturn.parse(word))
        checks = verify_return(word, EthereumSignatures(), None, kept).checks
        assert {one.name for one in checks if one.status.value != "ok"} == {"trusted payee"}, checks
        assert await stranger.balance(stranger.key.address) >= 50 * EURO - due - 4 * fee
