"""What `evmesh station` does: with the platform's help where it runs, else with the operator's own keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from evmesh.app.asset_fetch import fetch_record
from evmesh.app.asset_file import AssetSpec, keep_record
from evmesh.app.asset_routes import status_json
from evmesh.app.clock import WallClock
from evmesh.app.instants import instant
from evmesh.app.platform_channels import operator_identity
from evmesh.app.run_file import RunFile
from evmesh.domain.asset_status import unchanged_since
from evmesh.domain.channel_announcement import Announcement
from evmesh.domain.errors import (
    EvmeshError,
    IntegrityFailure,
    InvalidInput,
    ProtocolViolation,
    Refused,
    Unavailable,
)
from evmesh.domain.station_code import code_of, counter_of
from evmesh.ledger.answers import printable
from evmesh.ledger.asset_status import StatusReader
from evmesh.ledger.asset_words import AssetKind, Lifecycle
from evmesh.ledger.channels_announcements import StationAnnouncer, StationFinder
from evmesh.ledger.deploy import Deployment, is_deployed, load_deployment
from evmesh.ledger.keys import open_keys, open_secret
from evmesh.ledger.message_board import BoardReader, MessageBoard
from evmesh.ledger.networks import network_of
from evmesh.ledger.registry import AssetOwner, AssetRegistry
from evmesh.ledger.relayer import Relayer, RelayerConfig, writer_lock
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import KeySigner
from evmesh.ledger.token import Token
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database

Json = dict[str, Any]
_TIMEOUT_S = 150


@dataclass(frozen=True, slots=True)
class Network:
    """A node, and the contracts that it was checked to have."""

    rpc: JsonRpc
    deployment: Deployment

    @property
    def registry(self) -> AssetRegistry:
        return AssetRegistry(self.rpc, self.deployment.contracts.registry)

    @property
    def board(self) -> BoardReader:
        contracts = self.deployment.contracts
        return BoardReader(self.rpc, contracts.board, from_block=self.deployment.block)

    @property
    def token(self) -> Token:
        contracts = self.deployment.contracts
        return Token(self.rpc, contracts.token, contracts.chain_id)

    @property
    def status(self) -> StatusReader:
        contracts = self.deployment.contracts
        return StatusReader(self.rpc, contracts.status, from_block=self.deployment.block)


@asynccontextmanager
async def open_network(contracts: Path, rpc: str | None) -> AsyncIterator[Network]:
    """Open a node by a directory's `contracts.json`; Refused `chain.other_chain` where it serves another."""
    deployment = load_deployment(contracts)
    async with JsonRpc(rpc or RunFile.load(contracts).rpc_url) as node:
        if await node.chain_id() != deployment.contracts.chain_id or not await is_deployed(node, deployment):
            raise Refused(
                "chain.other_chain",
                "the node does not have the contracts that contracts.json names",
                do="name another node with --rpc, or other contracts with --data",
            )
        yield Network(node, deployment)


async def find(code: str, contracts: Path, rpc: str | None) -> Json:
    """Find a station by its code: who owns it, where its records are, what its owner announces.

    Nothing is asked of a server of the operator's but the record, which the chain's hash has to confirm.
    """
    async with open_network(contracts, rpc) as network:
        facts, said = await StationFinder(network.registry, network.board).find(code)
        raw, why = await fetch_record(facts.base_url, facts.asset)
        if raw is not None and sha256(raw).digest() != facts.record_hash:
            raw, why = None, "what is served there is not the record whose hash the registry holds"
        return {
            "code": facts.code,
            "asset": facts.asset,
            "owner": facts.owner.text,
            "in_service": facts.active,
            "rating_w": facts.rating,
            "price": facts.price,
            "currency": await network.token.symbol(),
            "deposit_address": facts.deposit_address.text,
            "latitude_udeg": facts.latitude_udeg,
            "longitude_udeg": facts.longitude_udeg,
            "api": (said.api if said else "") or facts.base_url,
            "record": {"status": "ok" if raw is not None else "not_checked", "what": why},
            "announcement": None if said is None else _announcement_json(said),
        }


async def status(code: str, contracts: Path, rpc: str | None) -> Json:
    """Read how a station was in the newest step that its owner has published, and since which it was so."""
    async with open_network(contracts, rpc) as network:
        asset = counter_of(code)
        found = await network.registry.read(asset)
        if found is None:
            raise Refused("station.unknown", f"no asset has the code {code_of(asset)}", do="compare it")
        stored, _ = found
        records = await network.status.recent(stored.owner, asset)
        shown = status_json(records[-1] if records else None)
        since = unchanged_since(records)
        if since is not None:
            shown["state_since"] = instant(since)
        return {"code": code_of(asset), "asset": asset, "owner": stored.owner.text, **shown}


async def register(document: Json, data: Path, rpc: str | None) -> Json:
    """Register an asset of any kind as the operator of a data directory."""
    running = _running(data)
    if running is not None:
        return await _post(running, "/v1/assets", {"asset": document})
    async with _opened(data, rpc) as (network, relayer):
        keys = data / "keys"
        spec = AssetSpec.of(document, KeySigner(open_secret(keys / "gateway.key")).address)
        owner = AssetOwner(network.registry, relayer)
        number = await owner.register(
            spec.new_asset(owner.address, open_secret(keys / "operator.key")), spec.key
        )
        keep_record(data, number, spec.raw)
        return {"asset": number, "code": code_of(number), "owner": owner.address.text}


async def announce(code: str | None, note: str, data: Path, rpc: str | None) -> list[Json]:
    """Announce a station of ours, or all EVSEs of ours that are in service."""
    running = _running(data)
    async with open_network(data, rpc) as network:
        numbers = [counter_of(code)] if code is not None else await _ours(network, data)
    if running is not None:
        return [
            await _post(running, "/v1/announcements", {"asset": number, "note": note}) for number in numbers
        ]
    done = []
    async with _opened(data, rpc) as (network, relayer):
        announcer = StationAnnouncer(network.registry, MessageBoard(network.board, relayer))
        inbox = operator_identity(data).reader.public
        second = int(WallClock().now().timestamp())
        for number in numbers:
            words = Announcement(number, "", inbox, None, note)
            mined = await announcer.announce(words, f"announce:{number}:by hand:{second}")
            done.append({"asset": number, "code": code_of(number), "tx_hash": mined.tx_hash})
    return done


async def _ours(network: Network, data: Path) -> list[int]:
    operator = open_keys(data / "keys").operator.address
    numbers = []
    for number in range(1, await network.registry.newest() + 1):
        found = await network.registry.read(number)
        if found is not None:
            stored, _ = found
            is_evse = stored.kind == AssetKind.EVSE and stored.lifecycle == Lifecycle.IN_SERVICE
            if is_evse and stored.owner == operator:
                numbers.append(number)
    return numbers


@asynccontextmanager
async def _opened(data: Path, rpc: str | None) -> AsyncIterator[tuple[Network, Relayer]]:
    """Open the operator's own account, while no platform has it."""
    with writer_lock(data / "keys" / "writer.lock"):
        database = Database(f"sqlite+aiosqlite:///{data / 'state.db'}")
        try:
            await database.migrate()
            async with open_network(data, rpc) as network:
                chain_id = network.deployment.contracts.chain_id
                signer = open_keys(data / "keys").operator
                patience = RelayerConfig(confirmations=network_of(chain_id).confirmations)
                journal = ChainJournal(database)
                relayer = Relayer(network.rpc, signer, journal, chain_id=chain_id, config=patience)
                await relayer.recover()
                yield network, relayer
        finally:
            await database.close()


def _running(data: Path) -> str | None:
    """Give the URL of the platform that runs on a data directory; None where none does."""
    try:
        run = RunFile.load(data)
    except Unavailable:
        return None
    try:
        with writer_lock(data / "keys" / "writer.lock"):
            return None  # it has ended without taking its file away
    except Refused:
        return run.http_url


async def _post(url: str, path: str, body: Json) -> Json:
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
            answer = await http.post(url + path, json=body)
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(
            "platform.away", f"the platform at {url} does not answer", do="try again later"
        ) from error
    if not isinstance(document, dict):
        raise ProtocolViolation("platform.strange", f"{url} does not answer as evmesh does")
    if answer.is_success:
        return document
    kinds: dict[int, type[EvmeshError]] = {400: InvalidInput, 409: Refused, 422: IntegrityFailure}
    kind = kinds.get(answer.status_code, Unavailable)
    texts = [printable(str(document.get(key, "")), 400) for key in ("code", "title", "do", "path")]
    raise kind(texts[0] or "platform.refused", texts[1], do=texts[2], path=texts[3])


def _announcement_json(said: Announcement) -> Json:
    return {
        "api": said.api,
        "inbox": None if said.inbox is None else "0x" + said.inbox.hex(),
        "status": None
        if said.status is None
        else {
            "mode": said.status.mode.value,
            "writer": "0x" + said.status.writer.hex(),
            "name": said.status.name,
        },
        "note": said.note,
    }
