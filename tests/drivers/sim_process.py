"""One simulated station in a process of its own, to be killed: `python -m tests.drivers.sim_process`.

The first time it starts, a car is plugged in and a driver authorised; with `--unplug` the car leaves.
"""

import argparse
import asyncio
from datetime import datetime
from pathlib import Path

from evmesh.domain.ids import Address, StationId
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.ports import Wallet
from evmesh.sim.car import Car
from evmesh.sim.config import SimConfig, SimConnector, SimStation, SimTiming
from evmesh.sim.visits import Money
from evmesh.sim.world import Simulation
from tests.drivers.clocks import FastClock

NAME = "CA-303"


def station_config() -> SimStation:
    connector = SimConnector(1, NAME, W(7_360), 1, Milliamp(32_000))
    return SimStation(StationId(NAME), "evmesh", "Twin", "SIM0001", "cabinet-a", (connector,))


def config_of(directory: Path, url: str) -> SimConfig:
    timing = SimTiming(reconnect_wall_ms=20, call_timeout_wall_s=5)
    return SimConfig(directory, url, "http://127.0.0.1:1", (station_config(),), timing=timing)


class NoSignatures:
    """A world without drivers signs nothing."""

    def keccak256(self, data: bytes) -> bytes:
        raise AssertionError("nothing is signed here")

    def recover(self, digest: bytes, signature: bytes) -> Address:
        raise AssertionError("nothing is signed here")


def no_wallet(name: str, money: Money) -> Wallet:
    raise AssertionError(f"{name} has no wallet here")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("url")
    parser.add_argument("start", type=datetime.fromisoformat)
    parser.add_argument("speed", type=int)
    parser.add_argument("--unplug", action="store_true")
    options = parser.parse_args()
    clock = FastClock(options.speed, options.start)
    simulation = Simulation(config_of(options.directory, options.url), clock, no_wallet, NoSignatures())
    station = simulation.stations[0]
    record = station.evses[1].record
    if record.car is None and record.meter.register_ws == 0:
        station.plug(1, Car.with_room("driver", Wh(60_000), W(7_360)))
        station.authorised(1, "TAG0123456789ABCDEFG")
    if options.unplug and record.car is not None:
        station.unplug(1)
    await simulation.run()


if __name__ == "__main__":
    asyncio.run(main())
