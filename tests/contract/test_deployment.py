"""Contracts are made once per data directory, wherever a deployment was interrupted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.ledger.abi import artifact, creation_code, decode_values, encode_call
from evmesh.ledger.deploy import FLEX_CAP, deploy, is_deployed, load_deployment
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.keys import Keys, open_keys
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.transactions import LegacyTransaction, created_address
from tests.contract.ledger_world import SetClock


@asynccontextmanager
async def bare_chain(directory: Path, chain_id: int = 31337) -> AsyncIterator[tuple[JsonRpc, Keys]]:
    """A chain without contracts whose deployer can pay."""
    config = EmbeddedConfig(directory / "chain", chain_id=chain_id, seal_every_s=0.01)
    async with EmbeddedChain(config, SetClock()) as chain:
        making_blocks = asyncio.create_task(chain.run())
        keys = open_keys(directory / "keys")
        await chain.fund(keys.deployer.address)
        try:
            yield chain.rpc, keys
        finally:
            making_blocks.cancel()
            await asyncio.wait([making_blocks])


async def nonce_of(rpc: JsonRpc, account: Address) -> int:
    return int(await rpc.call("eth_getTransactionCount", account.text, "latest"), 16)


async def test_the_second_deployment_finds_the_first(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        first = await deploy(rpc, tmp_path, keys.deployer)
        assert await is_deployed(rpc, first)
        assert await deploy(rpc, tmp_path, keys.deployer) == first == load_deployment(tmp_path)
        assert await nonce_of(rpc, keys.deployer.address) == 8


@pytest.mark.parametrize("made", range(9))
async def test_an_interrupted_deployment_goes_on_where_it_stopped(tmp_path: Path, made: int) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        whole = await deploy(rpc, tmp_path, keys.deployer)
    (tmp_path / "contracts.json").unlink()
    for path in (tmp_path / "chain").iterdir():
        path.unlink()
    async with bare_chain(tmp_path) as (rpc, keys):
        token, flex = (created_address(keys.deployer.address, nonce) for nonce in (0, 5))
        codes = [
            creation_code("DevToken"),
            creation_code("AssetRegistry"),
            creation_code("MeterNotary"),
            creation_code("ChargeTab", token, 86_400),
            creation_code("AssetStatus"),
            creation_code("FlexToken", keys.operator.address, FLEX_CAP),
            creation_code("ChargeTab", flex, 86_400),
            creation_code("MessageBoard"),
        ]
        for nonce, code in enumerate(codes[:made]):
            raw, _ = LegacyTransaction(nonce, 10**10, 6_000_000, None, code).sign(keys.deployer, 31337)
            await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())  # the last ones may not be mined yet
        again = await deploy(rpc, tmp_path, keys.deployer)
        assert again.contracts == whole.contracts
        assert await nonce_of(rpc, keys.deployer.address) == 8


async def test_what_the_chain_lost_is_made_again_at_the_same_place(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        first = await deploy(rpc, tmp_path, keys.deployer)
    for path in (tmp_path / "chain").iterdir():
        path.unlink()
    async with bare_chain(tmp_path) as (rpc, keys):
        assert not await is_deployed(rpc, first)
        assert (await deploy(rpc, tmp_path, keys.deployer)).contracts == first.contracts
        assert await is_deployed(rpc, first)


async def test_what_an_earlier_release_made_is_known_by_its_code_and_other_code_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        first = await deploy(rpc, tmp_path, keys.deployer)
        ours = artifact("MeterNotary")
        later = {**ours, "bytecode_runtime": ours["bytecode_runtime"][:-2] + "00"}
        monkeypatch.setattr(
            "evmesh.ledger.deploy.artifact", lambda name: later if name == "MeterNotary" else artifact(name)
        )
        assert await is_deployed(rpc, first)
        assert await deploy(rpc, tmp_path, keys.deployer) == first
        assert not await is_deployed(rpc, replace(first, codes={}))
        await rpc.call("anvil_setCode", first.contracts.board.text, "0x00")
        assert not await is_deployed(rpc, first)
        with pytest.raises(IntegrityFailure, match=r"chain\.deployer_used"):
            await deploy(rpc, tmp_path, keys.deployer)


async def test_a_file_without_hashes_of_codes_is_given_them(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    async with bare_chain(tmp_path) as (rpc, keys):
        first = await deploy(rpc, tmp_path, keys.deployer)
        path.write_text(json.dumps({**json.loads(path.read_text()), "codes": {}}))
        assert await is_deployed(rpc, load_deployment(tmp_path))
        assert await deploy(rpc, tmp_path, keys.deployer) == first == load_deployment(tmp_path)
        assert len(first.codes) == 7


async def test_flex_is_the_operators_promise_and_has_an_escrow_of_its_own(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        contracts = (await deploy(rpc, tmp_path, keys.deployer)).contracts
        for contract, question, answer in (
            (contracts.flex, "issuer()", keys.operator.address),
            (contracts.flex_tab, "token()", contracts.flex),
            (contracts.charge_tab, "token()", contracts.token),
        ):
            assert decode_values(("address",), await rpc.read(contract, encode_call(question))) == (answer,)
        other = open_keys(tmp_path / "b" / "keys")
        await rpc.call("anvil_setBalance", other.deployer.address.text, hex(10**24))
        issuer = keys.relayer.address
        second = (await deploy(rpc, tmp_path / "b", other.deployer, issuer=issuer)).contracts
        assert decode_values(("address",), await rpc.read(second.flex, encode_call("issuer()"))) == (issuer,)


async def test_a_chain_made_anew_with_a_fresh_directory_has_other_contracts(tmp_path: Path) -> None:
    """So that no old signature is good on it: the contract is part of what was signed."""
    deployments = []
    for name in ("first", "second"):
        async with bare_chain(tmp_path / name) as (rpc, keys):
            deployments.append((await deploy(rpc, tmp_path / name, keys.deployer)).contracts)
    assert deployments[0].charge_tab != deployments[1].charge_tab


async def test_an_existing_token_is_taken_as_it_is(tmp_path: Path) -> None:
    async with bare_chain(tmp_path / "a") as (rpc, keys):
        token = (await deploy(rpc, tmp_path / "a", keys.deployer)).contracts.token
        other = open_keys(tmp_path / "b" / "keys")
        await rpc.call("anvil_setBalance", other.deployer.address.text, hex(10**24))
        second = await deploy(rpc, tmp_path / "b", other.deployer, token=token, window_s=172_800)
        assert second.contracts.token == token
        assert await nonce_of(rpc, other.deployer.address) == 7
        reader = TabReader(rpc, second.contracts.charge_tab)
        assert await reader.account(keys.operator.address) == (0, 0)


async def test_another_chain_is_refused(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        await deploy(rpc, tmp_path, keys.deployer)
    for path in (tmp_path / "chain").iterdir():
        path.unlink()
    async with bare_chain(tmp_path, chain_id=8822) as (rpc, keys):
        with pytest.raises(Refused, match=r"chain\.other_chain"):
            await deploy(rpc, tmp_path, keys.deployer)


async def test_a_deployer_that_did_something_else_is_refused(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        draft = LegacyTransaction(0, 10**10, 21_000, keys.operator.address, b"", 1)
        raw, _ = draft.sign(keys.deployer, 31337)
        await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        while not await nonce_of(rpc, keys.deployer.address):
            await asyncio.sleep(0.01)
        with pytest.raises(IntegrityFailure, match=r"chain\.deployer_used"):
            await deploy(rpc, tmp_path, keys.deployer)


async def test_another_deployer_than_the_directorys_is_refused(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        await deploy(rpc, tmp_path, keys.deployer)
    for path in (tmp_path / "chain").iterdir():
        path.unlink()
    async with bare_chain(tmp_path) as (rpc, keys):
        await rpc.call("anvil_setBalance", keys.operator.address.text, hex(10**24))
        with pytest.raises(IntegrityFailure, match=r"chain\.other_contracts"):
            await deploy(rpc, tmp_path, keys.operator)


async def test_a_deployer_without_gas_is_told_where_to_send_it(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        with pytest.raises(Refused, match=r"chain\.no_gas") as refused:
            await deploy(rpc, tmp_path, keys.operator)
        assert keys.operator.address.text in refused.value.do


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", json.dumps({"format": "evmesh.contracts/2"}), '{"format":"evmesh.contracts/1"}']
)
def test_a_damaged_contracts_file_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"chain\.no_contracts"):
        load_deployment(tmp_path)
    (tmp_path / "contracts.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"chain\.bad_contracts"):
        load_deployment(tmp_path)


async def test_a_contracts_file_of_an_older_evmesh_says_what_it_lacks(tmp_path: Path) -> None:
    async with bare_chain(tmp_path) as (rpc, keys):
        await deploy(rpc, tmp_path, keys.deployer)
    path = tmp_path / "contracts.json"
    document = json.loads(path.read_text())
    del document["contracts"]["board"], document["contracts"]["flex"]
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="it has no flex, board") as refused:
        load_deployment(tmp_path)
    assert "fresh data directory" in refused.value.do
