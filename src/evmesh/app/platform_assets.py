"""Joins what the platform says of its assets in public: status on the ledger, announcements, routes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from evmesh.app.asset_routes import AssetParts, asset_routes
from evmesh.domain.chain import Contracts
from evmesh.domain.ids import Address
from evmesh.ledger.asset_status import StatusPublisher, StatusReader
from evmesh.ledger.channels_announcements import StationAnnouncer
from evmesh.ledger.keys import open_secret
from evmesh.ledger.message_board import BoardReader, MessageBoard
from evmesh.ledger.registry import AssetOwner
from evmesh.ledger.relayer import Relayer
from evmesh.ports import AsyncService, Clock
from evmesh.services.announcements import Announcements
from evmesh.services.directory import Directory
from evmesh.services.live import LiveState
from evmesh.services.status_feed import StatusFeed
from evmesh.services.transitions import Transitions


@dataclass(frozen=True, slots=True)
class AssetWorld:
    """What it stands on. `sender` is the operator's account, `block` where the contracts were made."""

    data: Path
    contracts: Contracts
    block: int
    sender: Relayer
    owner: AssetOwner
    meter_key: Address
    clock: Clock
    transitions: Transitions
    directory: Directory
    live: LiveState
    inbox: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """The services to run, and what adds the routes."""

    services: tuple[AsyncService, ...]
    routes: Callable[[FastAPI], None]


def open_assets(world: AssetWorld) -> Assets:
    """Join them."""
    rpc, contracts = world.sender.rpc, world.contracts
    status = StatusReader(rpc, contracts.status, from_block=world.block)
    board = MessageBoard(BoardReader(rpc, contracts.board, from_block=world.block), world.sender)
    announcer = StationAnnouncer(world.owner.registry, board)
    feed = StatusFeed(
        world.transitions, world.clock, world.directory, world.live, StatusPublisher(status, world.sender)
    )
    announcements = Announcements(world.clock, world.directory, announcer, world.inbox)
    parts = AssetParts(
        data=world.data,
        owner=world.owner,
        operator_secret=open_secret(world.data / "keys" / "operator.key"),
        meter_key=world.meter_key,
        reader=status,
        feed=feed,
        announcer=announcer,
        inbox=world.inbox,
        now=lambda: int(world.clock.now().timestamp()),
    )
    return Assets((feed, announcements), asset_routes(parts))
