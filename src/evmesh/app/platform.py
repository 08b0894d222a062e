"""The one place that knows every class: joins ports and adapters into a running platform."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from evmesh.app.api import ApiParts, build_api
from evmesh.app.clock import ClockMaster
from evmesh.app.config import SiteConfig, load_tariff
from evmesh.app.failpoints import Failpoint
from evmesh.app.http_server import HttpServer
from evmesh.app.live_feed import LiveFeed
from evmesh.app.pacer import Pacer, Waiting
from evmesh.app.plan_view import MeteredLoad
from evmesh.app.registration import asset_record, register_site, say_where, with_retired, write_codes
from evmesh.app.run_file import RunFile
from evmesh.app.site_view import SiteView
from evmesh.app.snapshot import Snapshots
from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.chain import Contracts
from evmesh.domain.errors import InvalidInput
from evmesh.domain.trust import Trust
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.escrow import ChargeTab
from evmesh.ledger.keys import Keys, open_keys, open_secret
from evmesh.ledger.notary import MeterNotary, NotaryReader
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.registry import AssetOwner, AssetRegistry
from evmesh.ledger.relayer import Relayer, writer_lock
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.ledger.token import Token
from evmesh.planning.optimiser import prepare
from evmesh.ports import AsyncService
from evmesh.services.caretaker import Caretaker
from evmesh.services.control import Control
from evmesh.services.directory import Operator
from evmesh.services.effects import Effects
from evmesh.services.live import LiveState
from evmesh.services.meter_log import MeterLog
from evmesh.services.payments import Payments
from evmesh.services.payouts import Payouts
from evmesh.services.plans import Planner, flat_tariff_supply
from evmesh.services.receipts import Receipts, chain_ref
from evmesh.services.requests import Requests
from evmesh.services.rewards import RewardBook
from evmesh.services.settlements import Settlements
from evmesh.services.state_feed import StateFeed
from evmesh.services.stations import StationEvents
from evmesh.services.stops import Stops
from evmesh.services.tab_watch import TabWatch
from evmesh.services.transitions import Transitions
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from evmesh.store.places import PlaceBook
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings

MIN_DEPOSIT = 100_000
"""Token units below which a deposit is not worth its gas."""

RELAYED_PER_ADDRESS = 600
"""Deposits an hour from one network address, behind which many drivers may be."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger adapters of one platform."""

    keys: Keys
    contracts: Contracts
    rpc: JsonRpc
    operator: Relayer
    relayer: Relayer
    notary: Relayer
    journal: ChainJournal
    block: int


@dataclass(frozen=True, slots=True)
class Platform:
    """A list of services and nothing else: no getters, no state."""

    services: tuple[AsyncService, ...]


@asynccontextmanager
async def open_platform(data: Path, site: SiteConfig, run: RunFile) -> AsyncIterator[Platform]:
    """Join everything for a data directory; what is opened here is closed at the end."""
    async with AsyncExitStack() as stack:
        stack.enter_context(writer_lock(data / "keys" / "writer.lock"))
        checkpoint = Failpoint(data / "failpoint")
        clock = ClockMaster(data / run.clock)
        database = Database(f"sqlite+aiosqlite:///{data / 'state.db'}")
        stack.push_async_callback(database.close)
        await database.migrate()
        await asyncio.to_thread(prepare)
        ledger = await _open_ledger(stack, data, run, database, checkpoint)
        signatures = EthereumSignatures()
        owner = AssetOwner(AssetRegistry(ledger.rpc, ledger.contracts.registry), ledger.operator)
        block = await ledger.rpc.block_number()
        directory = await register_site(
            site,
            owner,
            open_secret(data / "keys" / "operator.key"),
            ledger.keys.gateway.address,
            block,
        )
        await say_where(owner, run.http_url, block)
        write_codes(data, directory)
        directory = await with_retired(directory, PlaceBook(database))
        operator = Operator(
            ledger.keys.operator,
            ledger.keys.gateway,
            ledger.keys.notary.address,
            ledger.contracts,
            MIN_DEPOSIT,
        )
        mqtt = MqttConfig(host="127.0.0.1", port=run.mqtt_port)
        bus = MqttBus(mqtt, clock)
        telemetry = await stack.enter_async_context(SqliteReadings(data / "telemetry.db"))

        transitions = Transitions(database, clock, checkpoint)
        live = LiveState()
        async with database.begin() as unit:
            for ref, status in (await unit.statuses()).items():
                live.connector(ref).status = status
        supply = flat_tariff_supply(load_tariff(site.prices, site.time_zone).price_at)
        planner = Planner(directory, supply, live, signatures.keccak256)
        escrow = ChargeTab(
            ledger.contracts.charge_tab,
            operator.domain,
            signer=ledger.keys.operator,
            operator=ledger.operator,
            relayer=ledger.relayer,
            clock=clock,
            quota=RelayQuota(RelayPolicy(min_deposit=operator.min_deposit), clock),
        )
        token = Token(ledger.rpc, ledger.contracts.token, ledger.contracts.chain_id)
        receipts = Receipts(directory, operator, signatures)
        requests = Requests(
            transitions,
            directory,
            planner,
            live,
            escrow,
            signatures,
            operator,
            secrets.token_bytes,
            token.balance,
        )
        payments = Payments(transitions, directory, planner, escrow, signatures, operator, live)
        events = StationEvents(
            transitions,
            directory,
            live,
            MeterLog(operator, signatures, secrets.token_bytes),
            requests,
            receipts,
            StateFeed(bus, directory),
            clock,
        )
        csms = Csms(events, clock, CsmsConfig(port=run.ocpp_port, stations=directory.stations))
        notary = MeterNotary(
            NotaryReader(ledger.rpc, ledger.contracts.notary), ledger.notary, from_block=ledger.block
        )
        settlements = Settlements(operator, receipts)
        control = Control(transitions, clock, directory, planner, supply, live, csms)
        effects = Effects(transitions, operator, csms, escrow, notary, settlements, control.may_begin)
        snapshots = Snapshots(clock, directory, operator, live, planner)
        view = SiteView(
            site.name,
            site.time_zone.key,
            run.speed,
            clock,
            transitions,
            directory,
            snapshots,
            MeteredLoad(telemetry),
            ledger.rpc,
            operator,
            escrow,
            token,
            ledger.journal,
        )
        feed = LiveFeed(transitions, view.snapshot)
        waiting = Waiting()
        book = RewardBook(directory, operator, supply)

        def record_of(asset: int) -> bytes | None:
            known = next((one for one in directory.places if one.asset == asset), None)
            return None if known is None else asset_record(known.connector, operator.gateway.address)

        async def rewards(name: str, day: date) -> list[dict[str, Any]]:
            if name not in directory.groups:
                raise InvalidInput("group.unknown", f"there is no group {name}")
            midnight = datetime.combine(day, time(), site.time_zone)
            async with transitions.read() as unit:
                found = await book.day_so_far(unit, directory.groups[name], midnight)
            return [one.content() for one in found]

        api = build_api(
            ApiParts(
                transitions=transitions,
                directory=directory,
                requests=requests,
                payments=payments,
                escrow=escrow,
                relay=escrow,
                payee=operator.payee.address,
                snapshots=snapshots,
                feed=feed,
                site=view.snapshot,
                is_ready=lambda: csms.is_listening,
                waiting=waiting,
                relayed=RelayQuota(RelayPolicy(requests=RELAYED_PER_ADDRESS), clock),
                rewards=rewards,
                asset_record=record_of,
                trust=lambda: Trust(
                    chain_ref(ledger.contracts),
                    frozenset({operator.payee.address}),
                    frozenset({operator.notary}),
                    dict.fromkeys(directory.meters, operator.gateway.address),
                ),
            )
        )
        yield Platform(
            (
                csms,
                bus,
                Ingest(mqtt, telemetry, clock),
                effects,
                control,
                Caretaker(transitions, clock, live, payments, events),
                Stops(transitions, clock, live, csms),
                Payouts(clock, escrow, operator),
                TabWatch(transitions, clock, escrow, operator, live),
                ChainWatch(ledger.rpc, (ledger.operator, ledger.relayer, ledger.notary)),
                feed,
                Pacer(
                    clock,
                    run.speed,
                    lambda: max(effects.oldest_wait_s, waiting.oldest_s),
                    lambda: live.online >= directory.stations,
                ),
                HttpServer(api, run.http_port),
            )
        )


async def _open_ledger(
    stack: AsyncExitStack, data: Path, run: RunFile, database: Database, checkpoint: Failpoint
) -> Ledger:
    keys = open_keys(data / "keys")
    deployment = load_deployment(data)
    rpc = await stack.enter_async_context(JsonRpc(run.rpc_url))
    journal = ChainJournal(database)

    def account(signer: Any) -> Relayer:
        return Relayer(rpc, signer, journal, chain_id=deployment.contracts.chain_id, checkpoint=checkpoint)

    ledger = Ledger(
        keys=keys,
        contracts=deployment.contracts,
        rpc=rpc,
        operator=account(keys.operator),
        relayer=account(keys.relayer),
        notary=account(keys.notary),
        journal=journal,
        block=deployment.block,
    )
    for one in (ledger.operator, ledger.relayer, ledger.notary):
        await one.recover()
    return ledger
