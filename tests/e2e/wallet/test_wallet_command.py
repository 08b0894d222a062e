"""`evmesh wallet` as a driver uses it: the real command, a real chain, and an operator's relayer."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from fastapi import FastAPI

from evmesh.app.free_port import free_port
from evmesh.app.http_server import HttpServer
from evmesh.app.problems import install
from evmesh.app.relay import add_relay
from evmesh.app.run_file import RunFile
from evmesh.domain.chain import Tab
from evmesh.domain.flex_voucher import SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import PaidIn
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import encode_call
from evmesh.ledger.flex import flex_row
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.token import Faucet, Token
from evmesh.services.escrows import Escrows, Money
from evmesh.services.receipts import chain_ref
from tests.contract.ledger_world import EURO, Ledger, running_ledger
from tests.e2e.wallet.light import light_wallet
from tests.fakes.world import running

pytestmark = pytest.mark.timeout(240)
PASSWORD = "correct horse"
FRIEND = "0x" + "5a" * 20
Account.enable_unaudited_hdwallet_features()


@dataclass
class Operator:
    """An operator's chain and relayer, and a driver's device beside it."""

    ledger: Ledger
    url: str
    home: Path
    trust: Trust

    @property
    def payee(self) -> Address:
        return self.ledger.keys.operator.address

    async def wallet(self, *arguments: str, known: bool = True, **more: str) -> dict[str, Any]:
        """Run the command and give its report, with the exit code as `exit`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVMESH_")}
        environment = {**kept, "EVMESH_WALLET": str(self.home), "EVMESH_WALLET_PASSWORD": PASSWORD, **more}
        if known:
            environment |= {"EVMESH_RPC": self.ledger.chain.url, "EVMESH_OPERATOR": self.url, **more}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from evmesh.app.main import main; main()",
            "wallet",
            *arguments,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in environment.items() if value},
        )
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        report: dict[str, Any] = json.loads(out or b"{}")
        return {**report, "exit": process.returncode, "err": err.decode()}

    async def new_driver(self, units: int = 100 * EURO) -> Address:
        address = light_wallet(self.home, PASSWORD)
        faucet = Faucet(
            self.ledger.deployment.contracts.token, self.ledger.relayer(self.ledger.keys.deployer)
        )
        await faucet.mint(address, units, key=f"mint:{address}")
        return address

    async def reward(self, driver: Address, units: int) -> None:
        """Have FLEX made for a wallet by the operator's word."""
        contracts, word = self.ledger.deployment.contracts, FlexVoucher(driver, units, b"\5" * 32)
        domain = flex_domain(contracts.chain_id, contracts.flex)
        signature = self.ledger.keys.operator.sign(digest(domain, word, keccak256))
        voucher = SignedFlexVoucher(contracts.chain_id, contracts.flex, word, signature)
        data = encode_call("mint(uint256[4][])", [flex_row(voucher)])
        await self.ledger.relayer(self.ledger.keys.relayer).submit(f"flex:{driver}", contracts.flex, data)

    async def tab(self, driver: Address) -> Tab:
        return await self.ledger.escrow().tab(self.payee, driver)

    async def native(self, driver: Address) -> int:
        return int(await self.ledger.rpc.call("eth_getBalance", driver.text, "latest"), 16)

    async def a_day_later(self) -> None:
        self.ledger.clock.move(days=1, minutes=5)  # each block is a second later at least
        await self.ledger.rpc.call("evm_setTime", int(self.ledger.clock.now().timestamp()))


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running_ledger(tmp_path / "platform") as ledger:
        port = free_port()  # no outgoing connection takes it before the server does
        url = f"http://127.0.0.1:{port}"
        keys, contracts = ledger.keys, ledger.deployment.contracts
        trust = Trust(
            chain_ref(contracts),
            frozenset({keys.operator.address}),
            frozenset({keys.notary.address}),
            {},
            contracts.flex_money,
        )
        operator = Operator(ledger, url, tmp_path / "wallet", trust)
        app, escrow, in_flex = FastAPI(), ledger.escrow(), ledger.escrow(at=contracts.flex_tab)
        flex = Token(ledger.rpc, contracts.flex, contracts.chain_id)
        install(app)
        add_relay(
            app,
            escrows=Escrows(
                Money(contracts.charge_tab, escrow, escrow, ledger.token().balance),
                Money(contracts.flex_tab, in_flex, in_flex, flex.balance),
            ),
            payee=keys.operator.address,
            relayed=RelayQuota(RelayPolicy(requests=100), ledger.clock),
        )

        @app.get("/v1/trust")
        async def trust_route() -> dict[str, Any]:
            return operator.trust.to_json()

        async with running(HttpServer(app, port)), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await client.get(f"{url}/v1/trust")
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.02)
            yield operator


async def test_a_driver_without_gas_pays_in_tops_up_and_leaves(operator: Operator) -> None:
    driver = await operator.new_driver()
    filled = await operator.wallet("deposit", "20")
    assert (filled["exit"], filled["in_tab"]) == (0, "20000000"), filled
    topped = await operator.wallet("deposit", "2.5", "--by", "authorization")
    assert (topped["exit"], topped["in_tab"]) == (0, "22500000"), topped
    assert await operator.tab(driver) == Tab(0, 22_500_000, 0, 0)

    # the operator is known by now: only the node is needed to look
    found = await operator.wallet("balance", EVMESH_OPERATOR="", EVMESH_WALLET_PASSWORD="")
    assert (found["tokens"], found["tab"]["left"], found["native_wei"]) == ("77500000", "22500000", "0"), (
        found
    )

    begun = await operator.wallet("exit")
    assert (begun["exit"], begun["step"]) == (0, "begun"), begun
    waiting = await operator.wallet("exit")
    assert (waiting["exit"], waiting["step"], waiting["until"]) == (0, "waiting", begun["until"])
    refused = await operator.wallet("deposit", "5")
    assert (refused["exit"], refused["code"]) == (3, "tab.exit_begun")
    await operator.a_day_later()
    finished = await operator.wallet("exit")
    assert (finished["exit"], finished.get("returned")) == (0, "22500000"), finished
    assert await operator.ledger.token().balance(driver) == 100 * EURO
    assert await operator.native(driver) == 0


async def test_flex_is_paid_in_and_left_as_the_other_money_is_without_gas(operator: Operator) -> None:
    driver = light_wallet(operator.home, PASSWORD)
    await operator.reward(driver, 20 * EURO)
    poor = await operator.wallet("deposit", "21", "--flex")
    assert (poor["exit"], poor["code"], "1.00 FLEX" in poor["do"]) == (3, "wallet.too_little", True), poor
    filled = await operator.wallet("deposit", "3", "--flex")
    assert (filled["exit"], filled["in_tab"], filled["currency"]) == (0, "3000000", "FLEX"), filled
    topped = await operator.wallet("deposit", "2", "--flex", "--by", "authorization")
    assert (topped["exit"], topped["in_tab"]) == (0, "5000000"), topped
    begun = await operator.wallet("exit", "--flex")
    assert (begun["exit"], begun["step"]) == (0, "begun"), begun
    await operator.a_day_later()
    finished = await operator.wallet("exit", "--flex")
    assert (finished["exit"], finished.get("returned")) == (0, "5000000"), finished
    assert await operator.native(driver) == 0
    assert await operator.ledger.escrow().tab(operator.payee, driver) == Tab(0, 0, 0, 0)  # the other tab

    chain, contracts = operator.trust, operator.ledger.deployment.contracts
    for flex in (  # a token that the operator does not answer for, an escrow of another token
        PaidIn(contracts.charge_tab, contracts.token),
        PaidIn(contracts.charge_tab, contracts.flex),
    ):
        operator.trust = replace(chain, flex=flex)
        refused = await operator.wallet("deposit", "5", "--flex")
        assert (refused["exit"], refused["code"]) == (6, "wallet.foreign_escrow"), refused
    operator.trust = replace(chain, flex=None)
    refused = await operator.wallet("deposit", "5", "--flex")
    assert (refused["exit"], refused["code"]) == (3, "wallet.no_flex"), refused


async def test_a_platform_on_this_machine_is_found_by_its_data_directory(
    operator: Operator, tmp_path: Path
) -> None:
    driver = await operator.new_driver()
    port = int(operator.url.rpartition(":")[2])
    RunFile(1, "site.toml", 60, port, 9000, 1883, operator.ledger.chain.url, "clock").save(tmp_path)
    filled = await operator.wallet("deposit", "3", "--data", str(tmp_path), known=False)
    assert (filled["exit"], filled["in_tab"]) == (0, "3000000"), filled
    assert (await operator.tab(driver)).ceiling == 3_000_000


async def test_a_driver_leaves_without_the_operator(operator: Operator) -> None:
    driver = await operator.new_driver()
    assert (await operator.wallet("deposit", "20"))["exit"] == 0
    poor = await operator.wallet("exit", EVMESH_OPERATOR="")
    assert (poor["exit"], poor["code"]) == (3, "chain.no_gas"), poor

    call = await operator.wallet("exit", "--sign-only", EVMESH_OPERATOR="")
    friend = operator.ledger.relayer(operator.ledger.keys.notary)
    await friend.submit("exit:friend", Address.parse(call["to"]), bytes.fromhex(call["data"][2:]))
    assert (await operator.tab(driver)).exit_at > 0

    await operator.a_day_later()
    await operator.ledger.chain.fund(driver)
    finished = await operator.wallet("exit", EVMESH_OPERATOR="")
    assert (finished["exit"], finished["step"]) == (0, "finished"), finished
    assert await operator.ledger.token().balance(driver) == 100 * EURO


async def test_tokens_are_sent_with_own_gas_and_once(operator: Operator) -> None:
    driver = await operator.new_driver()
    poor = await operator.wallet("transfer", FRIEND, "1.25")
    assert (poor["exit"], poor["code"]) == (3, "chain.no_gas"), poor
    assert driver.text in poor["do"]
    await operator.ledger.chain.fund(driver)
    sent = await operator.wallet("transfer", to_checksum_address(FRIEND), "1.25")
    assert (sent["exit"], sent["sent"]) == (0, "1250000"), sent
    token = operator.ledger.token()
    assert await token.balance(Address.parse(FRIEND)) == 1_250_000
    too_much = await operator.wallet("transfer", FRIEND, "1000")
    assert (too_much["exit"], too_much["code"]) == (3, "wallet.too_little")
    swapped = to_checksum_address(FRIEND).swapcase().replace("0X", "0x")
    mistyped = await operator.wallet("transfer", swapped, "1")
    assert (mistyped["exit"], mistyped["code"]) == (2, "wallet.mistyped")
    lost = await operator.wallet("transfer", token.contract.text, "1")
    assert (lost["exit"], lost["code"]) == (3, "wallet.to_contract")


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("-5", "money.negative"),
        ("1.0000001", "money.too_many_decimals"),
        ("79228162514264337593543.950336", "money.out_of_range"),
        ("0", "money.zero"),
        ("much", "money.not_an_amount"),
    ],
)
async def test_an_amount_that_cannot_be_is_refused_before_anything_is_asked(
    tmp_path: Path, amount: str, code: str
) -> None:
    # no wallet, no node and no operator is there: nothing can be signed
    nowhere = Operator(None, "http://127.0.0.1:9", tmp_path / "none", None)  # type: ignore[arg-type]
    for command in (("deposit", amount), ("transfer", FRIEND, amount)):
        refused = await nowhere.wallet(*command, known=False)
        assert (refused["exit"], refused["code"]) == (2, code), refused


async def test_what_the_relayer_refuses_is_said_in_its_words(operator: Operator) -> None:
    await operator.new_driver(units=30 * EURO)
    for by in ("permit", "authorization"):
        small = await operator.wallet("deposit", "0.5", "--by", by)
        assert (small["exit"], small["code"]) == (3, "relay.deposit_too_small"), small
        assert "1.00" in small["what"]
        poor = await operator.wallet("deposit", "31", "--by", by)
        assert (poor["exit"], poor["code"]) == (3, "wallet.too_little"), poor
    nobody = await operator.wallet("exit")
    assert (nobody["exit"], nobody["code"]) == (3, "tab.nothing_to_leave"), nobody


async def test_an_operator_with_an_escrow_of_its_own_making_gets_nothing(operator: Operator) -> None:
    driver = await operator.new_driver()
    ours = operator.trust
    flex = operator.ledger.deployment.contracts
    for bad in (
        replace(ours.chain, charge_tab=flex.registry),
        replace(ours.chain, charge_tab=Address.parse(FRIEND)),
        replace(ours.chain, token=flex.flex),
    ):
        operator.trust = replace(ours, chain=bad)
        refused = await operator.wallet("deposit", "20")
        assert (refused["exit"], refused["code"]) == (6, "wallet.foreign_escrow"), refused
    operator.trust = replace(ours, chain=replace(ours.chain, chain_id=1))
    refused = await operator.wallet("deposit", "20")
    assert (refused["exit"], refused["code"]) == (3, "chain.other_chain"), refused
    assert await operator.ledger.token().balance(driver) == 100 * EURO


async def test_a_wallet_is_made_shown_and_restored_by_its_words(tmp_path: Path) -> None:
    device = Operator(None, "", tmp_path / "wallet", None)  # type: ignore[arg-type]
    made = await device.wallet("new", known=False)
    assert made["exit"] == 0, made
    keystore = Path(made["keystore"])
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    account = Account.from_mnemonic(made["words"])
    assert account.address.lower() == made["address"]
    assert bytes(Account.decrypt(keystore.read_text(), PASSWORD)) == bytes(account.key)
    assert made["words"] not in keystore.read_text()
    shown = await device.wallet("show", known=False, EVMESH_WALLET_PASSWORD="")
    assert (shown["address"], shown["operators"]) == (made["address"], {})
    again = await device.wallet("new", known=False)
    assert (again["exit"], again["code"]) == (2, "wallet.exists")

    words, password = tmp_path / "words", tmp_path / "password"
    words.write_text(made["words"].upper() + "\n")
    password.write_text("another one\n")
    device.home = tmp_path / "restored"
    restored = await device.wallet(
        "new", "--words", str(words), "--password-file", str(password), known=False, EVMESH_WALLET_PASSWORD=""
    )
    assert (restored["exit"], restored["address"], "words" in restored) == (0, made["address"], False)
    assert bytes(Account.decrypt(Path(restored["keystore"]).read_text(), "another one")) == bytes(account.key)


async def test_a_wrong_password_no_password_and_no_wallet_are_told_apart(tmp_path: Path) -> None:
    device = Operator(None, "http://127.0.0.1:9", tmp_path / "wallet", None)  # type: ignore[arg-type]
    none = await device.wallet("deposit", "5", known=False)
    assert (none["exit"], none["code"]) == (2, "wallet.none")
    assert (await device.wallet("new", known=False))["exit"] == 0
    wrong = await device.wallet("deposit", "5", known=False, EVMESH_WALLET_PASSWORD="guess")
    assert (wrong["exit"], wrong["code"]) == (6, "wallet.wrong_password")
    silent = await device.wallet("deposit", "5", known=False, EVMESH_WALLET_PASSWORD="")
    assert (silent["exit"], silent["code"]) == (2, "wallet.no_password")
    lost = await device.wallet("balance", known=False)
    assert (lost["exit"], lost["code"]) == (2, "wallet.unknown_operator")
    away = await device.wallet("balance", "--operator", "http://127.0.0.1:9", known=False)
    assert (away["exit"], away["code"]) == (4, "operator.away")
