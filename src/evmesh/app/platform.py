"""The one place that knows every class: joins ports and adapters into a running platform."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evmesh.app.api import ApiParts, build_api
from evmesh.app.api_telemetry import add_telemetry
from evmesh.app.asset_file import kept_record
from evmesh.app.clock import ClockMaster
from evmesh.app.config import SiteConfig
from evmesh.app.failpoints import Failpoint
from evmesh.app.http_server import HttpServer
from evmesh.app.live_feed import LiveFeed
from evmesh.app.observed_view import ObservedView
from evmesh.app.pacer import Pacer, Waiting
from evmesh.app.payment_view import PaymentView
from evmesh.app.plan_view import MeteredLoad
from evmesh.app.platform_assets import AssetWorld, open_assets
from evmesh.app.platform_channels import ChannelWorld, open_channels
from evmesh.app.platform_energy import open_energy, steer_batteries
from evmesh.app.platform_ledger import open_ledger
from evmesh.app.platform_money import open_moneys
from evmesh.app.platform_parts import PartsWorld, open_parts_stations
from evmesh.app.platform_rewards import join_afterwards
from evmesh.app.platform_site import SiteOnChain, SiteWorld
from evmesh.app.platform_streams import open_streams
from evmesh.app.platform_telemetry import open_telemetry
from evmesh.app.platform_transfers import TransferWorld, open_transfers
from evmesh.app.price_file import PriceFile
from evmesh.app.registration import asset_record
from evmesh.app.run_file import RunFile
from evmesh.app.session_feed import SessionFeed
from evmesh.app.session_status import SessionStatuses
from evmesh.app.site_view import SiteView
from evmesh.app.snapshot import Snapshots
from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.trust import Trust
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.keys import open_secret
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.ledger.notary import MeterNotary, NotaryReader
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.registry import AssetOwner, AssetRegistry
from evmesh.ledger.relayer import writer_lock
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.planning.optimiser import prepare
from evmesh.ports import AsyncService
from evmesh.services.caps import GroupCaps
from evmesh.services.caretaker import Caretaker
from evmesh.services.chain_losses import ChainLosses
from evmesh.services.closes import Closes
from evmesh.services.control import Control
from evmesh.services.directory import Operator
from evmesh.services.effects import Effects
from evmesh.services.late_vouchers import LateVouchers
from evmesh.services.live import LiveState
from evmesh.services.meter_log import MeterLog
from evmesh.services.payments import Payments
from evmesh.services.payouts import Payouts
from evmesh.services.plans import Planner
from evmesh.services.receipts import Receipts, chain_ref
from evmesh.services.requests import Requests
from evmesh.services.rewards import RewardBook
from evmesh.services.settlements import Settlements
from evmesh.services.signed_meters import SignedMeters
from evmesh.services.state_feed import StateFeed
from evmesh.services.stations import StationEvents
from evmesh.services.stops import Stops
from evmesh.services.streaming import Streaming
from evmesh.services.supply import flat_tariff_supply
from evmesh.services.tab_memory import TabMemory
from evmesh.services.tab_watch import TabWatch
from evmesh.services.transitions import Transitions
from evmesh.store.database import Database
from evmesh.store.places import PlaceBook
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest

MIN_DEPOSIT = 100_000
"""Token units below which a deposit is not worth its gas."""

RELAYED_PER_ADDRESS = 600
"""Deposits an hour from one network address, behind which many drivers may be."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A list of services and nothing else: no getters, no state."""

    services: tuple[AsyncService, ...]


@asynccontextmanager
async def open_platform(
    data: Path, site: SiteConfig, run: RunFile, telemetry_db: str = ""
) -> AsyncIterator[Platform]:
    """Join everything for a data directory; what is opened here is closed at the end."""
    async with AsyncExitStack() as stack:
        stack.enter_context(writer_lock(data / "keys" / "writer.lock"))
        checkpoint = Failpoint(data / "failpoint")
        clock = ClockMaster(data / run.clock)
        database = Database(f"sqlite+aiosqlite:///{data / 'state.db'}")
        stack.push_async_callback(database.close)
        await database.migrate()
        await asyncio.to_thread(prepare)
        ledger = await open_ledger(stack, data, site, run, database, checkpoint)
        signatures = EthereumSignatures()
        owner = AssetOwner(AssetRegistry(ledger.rpc, ledger.contracts.registry), ledger.operator)
        on_chain = SiteOnChain(
            SiteWorld(
                data,
                site,
                run.http_url,
                ledger.rpc,
                owner,
                (ledger.operator, ledger.relayer, ledger.notary),
                open_secret(data / "keys" / "operator.key"),
                ledger.keys.gateway.address,
                PlaceBook(database),
            )
        )
        directory = await on_chain.open()
        operator = Operator(
            ledger.keys.operator,
            ledger.keys.gateway,
            ledger.keys.notary.address,
            ledger.contracts,
            MIN_DEPOSIT,
        )
        mqtt = MqttConfig(host="127.0.0.1", port=run.mqtt_port)
        bus = MqttBus(mqtt, clock)
        telemetry = await stack.enter_async_context(open_telemetry(data, telemetry_db))

        transitions = Transitions(database, clock, checkpoint)
        live = LiveState()
        async with database.begin() as unit:
            for ref, status in (await unit.statuses()).items():
                live.connector(ref).status = status
        caps = GroupCaps(transitions, clock, directory)
        await caps.load()
        prices = PriceFile(site.prices, site.time_zone, transitions.wake)
        energy = await open_energy(transitions, clock, directory, bus)
        supply = flat_tariff_supply(prices.price_at, caps, energy.sources)
        notary = MeterNotary(
            NotaryReader(ledger.rpc, ledger.contracts.notary), ledger.notary, from_block=ledger.block
        )
        streams = await open_streams(transitions, clock, operator, notary, signatures)
        planner = Planner(
            directory, supply, live, signatures.keccak256, caps, streams.schedules, energy.sources
        )
        moneys = open_moneys(ledger, operator, clock)
        tabs = TabMemory(transitions, clock, moneys.escrows, operator)
        meter_log = MeterLog(operator, signatures, secrets.token_bytes)
        signed = SignedMeters(directory, meter_log, EcdsaMeterSignatures())
        receipts = Receipts(directory, operator, signatures, signed)
        requests = Requests(
            transitions,
            directory,
            planner,
            live,
            tabs,
            signatures,
            operator,
            secrets.token_bytes,
            moneys.escrows,
        )
        late = LateVouchers(receipts, requests.offer_of)
        streaming = Streaming(transitions, directory, tabs, signatures, operator, late.bill)
        payments = Payments(transitions, directory, planner, tabs, signatures, operator, live, streaming)
        events = StationEvents(
            transitions,
            directory,
            live,
            meter_log,
            requests,
            receipts,
            StateFeed(bus, directory),
            clock,
            signed,
        )
        parts = await stack.enter_async_context(
            open_parts_stations(PartsWorld(data, site, run.speed, events, clock, checkpoint))
        )
        over_ocpp = directory.stations - parts.named.keys()
        csms = Csms(events, clock, CsmsConfig(port=run.ocpp_port, stations=over_ocpp))
        stations = parts.beside(csms)
        settlements = Settlements(operator, receipts)
        control = Control(
            transitions, clock, directory, planner, supply, live, stations, caps, energy.sources
        )
        may_begin = control.may_begin
        transfers = open_transfers(
            TransferWorld(
                config=site.transfer,
                transitions=transitions,
                directory=directory,
                operator=operator,
                signatures=signatures,
                live=live,
                planner=planner,
                requests=requests,
                receipts=receipts,
                settlements=settlements,
                token=moneys.own.token,
                relayer=ledger.relayer,
                operator_secret=open_secret(data / "keys" / "operator.key"),
                block=ledger.block,
                confirmations=site.confirmations,
            )
        )
        effects = Effects(
            transitions,
            operator,
            stations,
            moneys.escrows,
            notary,
            settlements,
            may_begin,
            deposits=transfers.settling,
        )
        snapshots = Snapshots(clock, directory, operator, live, planner, caps, site.time_zone.key)
        view = SiteView(
            site.name,
            site.time_zone.key,
            run.speed,
            clock,
            transitions,
            directory,
            snapshots,
            MeteredLoad(telemetry.glances),
            ledger.rpc,
            operator,
            moneys.own,
            moneys.flex,
            ledger.journal,
            ObservedView(telemetry.glances, site),
            energy.view,
        )
        feed = LiveFeed(transitions, view.snapshot)
        payment = PaymentView(directory)
        session_feed = SessionFeed(transitions, clock, payment)
        waiting = Waiting()
        book = RewardBook(directory, operator, supply)
        relayed = RelayQuota(RelayPolicy(requests=RELAYED_PER_ADDRESS), clock)
        afterwards = join_afterwards(
            site,
            store=database,
            clock=clock,
            transitions=transitions,
            directory=directory,
            live=live,
            caps=caps,
            supply=supply,
            book=book,
            receipts=receipts,
            operator=operator,
            signatures=signatures,
            randomness=secrets.token_bytes,
            relayer=ledger.relayer,
            relayed=relayed,
            sources=energy.sources,
        )

        channels = await open_channels(
            ChannelWorld(
                data, mqtt, database, clock, checkpoint, transitions, directory, operator, signatures
            ),
            site.grids,
            SessionStatuses(clock, snapshots, directory, planner, live).status,
            caps.put,
            live.note_wanted,
        )

        assets = open_assets(
            AssetWorld(
                data=data,
                contracts=ledger.contracts,
                block=ledger.block,
                sender=ledger.operator,
                owner=owner,
                meter_key=operator.gateway.address,
                clock=clock,
                transitions=transitions,
                directory=directory,
                live=live,
                inbox=channels.inbox,
            )
        )

        def record_of(asset: int) -> bytes | None:
            known = next((one for one in directory.places if one.asset == asset), None)
            if known is None:
                return kept_record(data, asset)
            return asset_record(known.connector, operator.gateway.address)

        api = build_api(
            ApiParts(
                transitions=transitions,
                directory=directory,
                requests=requests,
                payments=payments,
                escrows=moneys.escrows,
                closes=Closes(transitions, tabs, moneys.escrows, signatures, operator),
                payee=operator.payee.address,
                snapshots=snapshots,
                feed=feed,
                session_feed=session_feed,
                payment=payment,
                site=view.snapshot,
                is_ready=lambda: csms.is_listening,
                waiting=waiting,
                relayed=relayed,
                expected=afterwards.expected,
                rewards=afterwards.rewards_on,
                asset_record=record_of,
                more=(
                    streams.routes,
                    afterwards.routes,
                    channels.routes,
                    assets.routes,
                    transfers.routes,
                    parts.routes,
                    partial(add_telemetry, store=telemetry.store),
                ),
                station_terms=transfers.views.terms,
                trust=lambda: Trust(
                    chain_ref(ledger.contracts),
                    frozenset({operator.payee.address}),
                    frozenset({operator.notary}),
                    dict.fromkeys(directory.meters, operator.gateway.address),
                    ledger.contracts.flex_money,
                ),
            )
        )
        yield Platform(
            (
                csms,
                *parts.services,
                bus,
                Ingest(mqtt, telemetry.store, clock),
                effects,
                streams.anchors,
                control,
                Caretaker(transitions, clock, live, payments, events),
                Stops(transitions, clock, live, stations),
                on_chain,
                Payouts(clock, moneys.escrows, operator),
                afterwards.days,
                *channels.services,
                *assets.services,
                *energy.services,
                *steer_batteries(transitions, clock, directory, planner, live, control, energy.sources, mqtt),
                *transfers.services,
                TabWatch(transitions, clock, tabs, live),
                ChainWatch(
                    ledger.rpc,
                    (ledger.operator, ledger.relayer, ledger.notary),
                    on_loss=ChainLosses(transitions, tabs, live).look,
                ),
                feed,
                session_feed,
                prices,
                Pacer(
                    clock,
                    run.speed,
                    lambda: max(effects.oldest_wait_s, waiting.oldest_s, streams.anchors.wait_s),
                    lambda: live.online >= directory.stations,
                ),
                HttpServer(api, run.http_port, site.trusted_proxies),
            )
        )
