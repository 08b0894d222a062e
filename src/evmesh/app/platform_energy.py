"""Joins what stands beside the charge points: its values from the bus, its quarter-hours from the store."""

from dataclasses import dataclass

from evmesh.app.equipment_view import EquipmentView
from evmesh.ports import AsyncService, Clock
from evmesh.services.battery_steering import BatterySteering
from evmesh.services.control import Control
from evmesh.services.directory import Directory
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.source_feed import SourceFeed
from evmesh.services.sources import Sources
from evmesh.services.transitions import Transitions
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.commands import MqttCommands
from evmesh.telemetry.connection import MqttConfig


@dataclass(frozen=True, slots=True)
class Energy:
    """What others ask, what the page shows, and what runs."""

    sources: Sources
    view: EquipmentView
    services: tuple[AsyncService, ...]


async def open_energy(transitions: Transitions, clock: Clock, directory: Directory, bus: MqttBus) -> Energy:
    """Read the quarter-hours of the last days, and make who follows those to come."""
    sources = Sources(directory, clock)
    view = EquipmentView(sources)
    if not sources.names:
        return Energy(sources, view, ())
    feed = SourceFeed(transitions, clock, bus, sources, lambda: bus.connected)
    await feed.load()
    return Energy(sources, view, (feed,))


def steer_batteries(
    transitions: Transitions,
    clock: Clock,
    directory: Directory,
    planner: Planner,
    live: LiveState,
    control: Control,
    sources: Sources,
    mqtt: MqttConfig,
) -> tuple[AsyncService, ...]:
    """Give what tells the site's batteries what the plan has for them; nothing where it has none."""
    levels = [level for group in directory.groups.values() for level in group.levels]
    if all(one.equipment.battery is None for one in levels):
        return ()
    commands = MqttCommands(mqtt)
    steering = BatterySteering(transitions, clock, directory, planner, live, control, sources, commands)
    return commands, steering
