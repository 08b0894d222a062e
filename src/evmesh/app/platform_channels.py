"""Joins the platform's encrypted channels: what it says, whom it hears, and the routes to both."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from evmesh.app.channel_routes import ChannelParts, channel_routes
from evmesh.app.grid_site import GridConfig
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_ears import ChannelEars
from evmesh.ledger.channels_identity import ChannelIdentity
from evmesh.ledger.keys import open_secret
from evmesh.ports import AsyncService, Checkpoint, Clock, Signatures
from evmesh.services.channel_access import ChannelAccesses
from evmesh.services.channel_caps import CapOrders, GridOperator, PutCap
from evmesh.services.channel_needs import CarNeeds, OnNeed
from evmesh.services.channel_sessions import SessionBroadcasts, StatusOf
from evmesh.services.directory import Directory, Operator
from evmesh.services.transitions import Transitions
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.frame_carrier import MqttFrameCarrier


@dataclass(frozen=True, slots=True)
class ChannelWorld:
    """What channels stand on."""

    data: Path
    mqtt: MqttConfig
    database: Database
    clock: Clock
    checkpoint: Checkpoint
    transitions: Transitions
    directory: Directory
    operator: Operator
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Channels:
    """The services to run, what adds the routes, and what cars said last."""

    services: tuple[AsyncService, ...]
    routes: Callable[[FastAPI], None]
    needs: CarNeeds
    inbox: bytes
    writer: bytes


def operator_identity(data: Path) -> ChannelIdentity:
    """Give the operator's keys on channels, from `keys/channels.key`, which is made when it is missing."""
    keys = data / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)  # the key is told before the first run
    return ChannelIdentity.of(open_secret(keys / "channels.key"))


async def open_channels(
    world: ChannelWorld, grids: tuple[GridConfig, ...], status_of: StatusOf, put: PutCap, on_need: OnNeed
) -> Channels:
    """Join them; raises InvalidInput `site.bad_grant` where a grid operator's grant is not for us."""
    identity = operator_identity(world.data)
    states = ChannelBook(world.database)
    carrier = MqttFrameCarrier(world.mqtt)
    desk = ChannelDesk(identity.writer, states, carrier, world.clock, secrets.token_bytes, world.checkpoint)
    ears = ChannelEars(identity.reader, states, carrier)
    for grid in grids:
        operator = GridOperator(grid.name, Invitation(grid.channel, grid.sealed()), grid.groups)
        orders = CapOrders(operator, world.directory, world.clock, states, put)
        try:
            await ears.listen(f"grid {grid.name}", operator.invitation, orders.hear)
        except (IntegrityFailure, InvalidInput) as error:
            raise InvalidInput(
                "site.bad_grant",
                f"the grant of the grid operator {grid.name} cannot be used: {error.what}",
                do="have it made anew, for the key that `evmesh station inbox` tells",
                path="grid",
            ) from error
    needs = CarNeeds(world.transitions, ears, states, world.signatures, world.operator, on_need)
    parts = ChannelParts(
        accesses=ChannelAccesses(world.transitions, desk, world.signatures, world.operator),
        needs=needs,
        clock=world.clock,
        writer=identity.writer.public,
        carrier=f"mqtt://{world.mqtt.host}:{world.mqtt.port}",
    )
    sessions = SessionBroadcasts(world.transitions, world.clock, desk, status_of)
    return Channels(
        (desk, ears, sessions, needs),
        channel_routes(parts),
        needs,
        identity.reader.public,
        identity.writer.public,
    )
