"""The example site whose cables nest, as it runs: stations on the wire, and no cable above its limit."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from evmesh.app.clock import SharedClock
from evmesh.app.config import load_site
from evmesh.app.examples import example
from evmesh.app.up import UpOptions, running
from evmesh.domain.caps import FloorRule
from evmesh.services.directory import Group, Place
from evmesh.services.fuses import Fuse, fuses_of
from evmesh.verify.answer import verify_answer

SPEED = 240
LOOKS = 30
"""One a minute of platform time."""


def limits() -> tuple[Group, dict[str, Place], tuple[Fuse, ...]]:
    """Give the site's group, its places by name, and every limit in it."""
    site = load_site(example("tree.toml"))
    config = site.groups[0]
    assert config.wiring.rule is FloorRule.SECTION_14A
    places = {
        name: Place(0, name, connector, None, station.part)  # type: ignore[arg-type]
        for station in config.stations
        for name, connector in station.connectors
    }
    wiring = config.wiring
    group = Group(
        config.name,
        config.capacity,
        tuple(places.values()),
        per_line=wiring.per_line,
        nodes=wiring.parts,
        other=wiring.other,
    )
    return group, places, fuses_of(group)


class Readings:
    """What was measured, by the instant of measuring: an older reading beside a newer one is no sum."""

    TOGETHER = timedelta(seconds=5)
    """All stations measure in one step of the simulation, which may take a part of this."""

    def __init__(self) -> None:
        self._power: dict[datetime, dict[str, int]] = {}
        self.plans: set[str] = set()

    def look(self, site: dict[str, Any]) -> None:
        for one in site["groups"][0]["charge_points"]:
            if one["measured_at"] is not None:
                at = datetime.fromisoformat(one["measured_at"])
                self._power.setdefault(at, {})[one["name"]] = one["power_w"]
        self.plans.update(one["plan"] for one in site["sessions"] if one["plan"])

    def together(self) -> Iterator[dict[str, int]]:
        """Give the readings of each instant."""
        for first in self._power:
            near = sorted(at for at in self._power if first <= at <= first + self.TOGETHER)
            yield {name: power for at in near for name, power in self._power[at].items()}


@pytest.mark.timeout(240)
async def test_stations_of_a_tree_stay_below_the_limit_of_every_cable(tmp_path: Path) -> None:
    _, places, fuses = limits()
    assert {fuse.name for fuse in fuses} >= {"", "feeder", "north", "south", "north/L1", "north/L3"}
    options = UpOptions(example("tree.toml"), tmp_path / "data", 0, 0, SPEED)
    seen = Readings()
    async with (
        running(options, lambda _: None) as run,
        httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=60) as api,
    ):
        clock = SharedClock(options.data / run.clock)
        for _ in range(LOOKS):
            answer = await api.get("/v1/site")
            assert answer.status_code == 200
            seen.look(answer.json())
            await clock.sleep_until(clock.now() + timedelta(minutes=1))
        whole = 0.0
        for fuse in fuses:
            for power in seen.together():
                carried = sum(
                    watts / fuse.shares[places[name].connector.ref]
                    for name, watts in power.items()
                    if places[name].connector.ref in fuse.shares
                )
                assert carried <= fuse.capacity, f"{carried} W of {fuse.capacity} W at {fuse.name!r}"
                whole = max(whole, 0.0 if fuse.name else carried)
        assert whole > 8_000
        assert max(sum(watts > 0 for watts in power.values()) for power in seen.together()) >= 3
        plans = seen.plans
        assert plans
        for plan in sorted(plans)[:3]:
            problem, schedule = [
                (await api.get(f"/v1/plans/{plan}/{part}")).content for part in ("problem", "schedule")
            ]
            assert b"evmesh.problem/2" in problem
            assert verify_answer(problem, schedule).ok
