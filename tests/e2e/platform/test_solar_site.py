"""The example site with PV, a battery and a metered hall, as it runs: registers to plan, plan to battery."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from evmesh.app.config import load_site
from evmesh.app.examples import example
from evmesh.app.up import UpOptions, running
from evmesh.domain.problem_shape import read_problem
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.verify.answer import verify_answer

SPEED = 240


class Looks:
    """What was seen of the site so far."""

    def __init__(self) -> None:
        group = load_site(example("solar.toml")).groups[0]
        self.capacity, self.equipment = group.capacity, group.wiring.equipment
        self.batteries = {one.battery.name for one in group.wiring.all_equipment if one.battery}
        self.plans: set[str] = set()
        self.asked: set[int] = set()
        self.is_known = self.has_charged = self.has_sun = self.has_battery = False

    def look(self, site: dict[str, Any]) -> None:
        (group,) = site["groups"]
        (shed,) = group["equipment"]["parts"]
        assert shed["name"] == "shed"
        known = []
        for number, level in enumerate((group["equipment"], shed)):
            pv, other, battery = (level[name] for name in ("pv", "other", "battery"))
            known += [pv["power_w"], other["power_w"], battery["power_w"], battery["soc_percent"]]
            self.asked |= {number} if battery["asked_w"] is not None else set()
            if other["power_w"] is not None:
                assert other["counted_w"] >= other["power_w"]
        self.is_known |= None not in known
        self.has_charged |= group["power_w"] > 0
        assert group["power_w"] <= self.capacity
        if group["plan"] is not None:
            self.plans.add(group["plan"]["schedule_sha256"])

    async def check(self, api: httpx.AsyncClient, schedule: str) -> None:
        problem, answer = [
            (await api.get(f"/v1/plans/{schedule}/{part}")).content for part in ("problem", "schedule")
        ]
        assert verify_answer(problem, answer).ok
        assert self.equipment.pv is not None
        supply = read_problem(problem, with_batteries=True).supply
        self.has_sun |= any(one.price == self.equipment.pv.feed_in for one in supply)
        if b'"batteries":[{' in problem:
            self.has_battery |= {one.id for one in parse_tree_problem(problem).batteries} == self.batteries

    @property
    def is_done(self) -> bool:
        is_steered = self.asked == {0, 1}
        return self.is_known and is_steered and self.has_charged and self.has_sun and self.has_battery


@pytest.mark.timeout(240)
async def test_the_sun_of_a_site_gets_into_its_plans_and_its_battery_is_told(tmp_path: Path) -> None:
    options, looks = UpOptions(example("solar.toml"), tmp_path / "data", 0, 0, SPEED), Looks()
    checked: set[str] = set()
    async with (
        running(options, lambda _: None) as run,
        httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=30) as api,
        asyncio.timeout(180),
    ):
        while not looks.is_done:
            looks.look((await api.get("/v1/site")).json())
            for schedule in looks.plans - checked:
                await looks.check(api, schedule)
            checked |= looks.plans
            await asyncio.sleep(0.3)
