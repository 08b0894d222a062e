"""A running platform whose grid operator, drivers and finders are other processes with their own keys."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from evmesh.app.asset_file import read_asset_file
from evmesh.app.channel_reader import Ended, Message, OperatorAt, read_messages
from evmesh.app.clock import SharedClock
from evmesh.app.examples import example
from evmesh.app.grid_moves import open_voice
from evmesh.app.platform_channels import operator_identity
from evmesh.app.run_file import RunFile
from evmesh.app.station_moves import announce, find, register, status
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.station_code import code_of
from evmesh.domain.typed_data import Domain
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.keys import open_secret
from evmesh.ledger.signatures import KeySigner
from tests.e2e.kill import site_files
from tests.e2e.kill.world import World

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]
SPEED = 120


async def evmesh(*arguments: str, expect: int = 0) -> dict[str, Any]:
    """Run the command with --json, and give what it says."""
    program = [sys.executable, "-m", "evmesh.app.main", *arguments, "--json"]
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == expect, f"{out.decode()}\n{err.decode()}"
    found: dict[str, Any] = json.loads(out)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A yard of cars whose grid operator is let in by the site file."""
    directory = tmp_path_factory.mktemp("channels")
    data, site, home = directory / "data", directory / "site", directory / "grid"
    site_files.write_site(site)
    site_files.let_cars_come(site)
    inbox = operator_identity(data).reader.public
    async with open_voice(home, None, None) as voice:
        channel = await voice.desk.begin("limits")
        (site / "grant.txt").write_text((await voice.desk.admit("limits", inbox)).hex() + "\n")
    with (site / "site.toml").open("a") as file:
        file.write(
            f'\n[[grid]]\nname = "Net AG"\nmode = "{channel.mode}"\nwriter = "0x{channel.writer.hex()}"\n'
            f'channel = "{channel.name}"\ngroups = ["cars"]\ngrant = "grant.txt"\n'
        )
    world = World(data, site, speed=SPEED)
    try:
        await world.start()
        yield world
    finally:
        world.stop()


async def snapshot(world: World) -> dict[str, Any]:
    async with httpx.AsyncClient(
        base_url=RunFile.load(world.data).http_url, trust_env=False, timeout=30
    ) as api:
        found: dict[str, Any] = (await api.get("/v1/site")).json()
        return found


async def allowed(world: World, group: str) -> tuple[int, bool]:
    """Give the sum of the limits that a group's stations hold at present, and whether it is under a cap."""
    [found] = [one for one in (await snapshot(world))["groups"] if one["name"] == group]
    limits = sum(point["limit_w"] or 0 for point in found["charge_points"] if point["session"])
    return limits, found["cap"] is not None


async def a_charging_session(world: World) -> dict[str, Any]:
    """Give the one that has most to go: it has not ended before it is looked at."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = [one for one in (await snapshot(world))["sessions"] if one["state"] == "charging"]
        return bool(found)

    await world.until(there, "a car charges", 60)
    return max(found, key=lambda one: one["energy_wh"] - one["delivered_wh"])


def driver_of(world: World, payer: str) -> KeySigner:
    keys = (KeySigner(open_secret(path)) for path in (world.data / "sim" / "wallets").glob("*.key"))
    return next(key for key in keys if key.address.text == payer)


async def test_a_station_is_found_by_its_code_and_tells_on_the_chain_how_it_is(world: World) -> None:
    code = next(iter(json.loads((world.data / "codes.json").read_text()).values()))
    found: dict[str, Any] = {}

    async def is_said() -> bool:
        found.update(await find(code.lower(), world.data, None))
        found.update(status=await status(code, world.data, None))
        return found["announcement"] is not None and bool(found["status"]["published"])

    await world.until(is_said, "the station is announced, and a step is published", 60)
    assert found["code"] == code
    assert found["announcement"]["inbox"] == "0x" + operator_identity(world.data).reader.public.hex()
    assert found["api"] == RunFile.load(world.data).http_url
    assert found["record"]["status"] == "ok"
    assert datetime.fromisoformat(found["status"]["at"]).timestamp() % 900 == 0
    [said] = await announce(code, "Gate 3", world.data, None)
    assert said["code"] == code
    again = await evmesh("station", "find", code, "--data", str(world.data))
    assert again["announcement"]["note"] == "Gate 3"
    run = RunFile.load(world.data)
    async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=30) as api:
        shown = (await api.get(f"/v1/assets/{found['asset']}/status")).json()
        area = (await api.get("/v1/areas/0")).json()
    assert shown["step"] >= found["status"]["step"]
    assert found["asset"] in area["assets"]


async def test_an_asset_of_another_kind_is_registered_and_its_record_is_served(
    world: World, tmp_path: Path
) -> None:
    file = example("assets/battery.toml")
    made = await register(read_asset_file(str(file)), world.data, None)
    assert made["code"] == code_of(made["asset"])
    again = await register(read_asset_file(str(file)), world.data, None)
    assert again["asset"] == made["asset"]
    run = RunFile.load(world.data)
    async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=30) as api:
        record = (await api.get(f"/v1/assets/{made['asset']}")).json()
    assert (record["kind"], record["capacity_wh"], record["phases"]) == ("battery", 60_000, 3)
    document = read_asset_file(str(file))
    document["record"]["phases"] = 4
    with pytest.raises(InvalidInput) as wrong:
        await register(document, world.data, None)
    assert wrong.value.path == "record.phases"


async def test_a_driver_reads_the_messages_of_its_charge(world: World, tmp_path: Path) -> None:
    shown = await a_charging_session(world)
    run, contracts = RunFile.load(world.data), load_deployment(world.data).contracts
    operator = OperatorAt(run.http_url, Domain(contracts.chain_id, contracts.charge_tab))
    signer, clock = driver_of(world, shown["payer"]), SharedClock(world.data / run.clock)
    session = SessionId.parse(shown["id"])
    seen: list[Message] = []
    async with asyncio.timeout(90):
        async for one in read_messages(tmp_path, signer, operator, session, clock, follow_on=True):
            if isinstance(one, Ended):
                break
            seen.append(one)
    told = [one.status for one in seen if one.status is not None]
    assert told[-1].state in ("settled", "refunded")
    assert {one.session for one in told} == {session}
    assert [one.at for one in told] == sorted(one.at for one in told)
    assert told[-1].energy == (await session_now(world, session))["delivered_wh"]
    assert not (tmp_path / "channels.db").stat().st_mode & 0o077
    # All of it is read: a second look, after the end, gives nothing but the end.
    rest = [one async for one in read_messages(tmp_path, signer, operator, session, clock)]
    assert [type(one) for one in rest] in ([], [Ended])


async def session_now(world: World, session: SessionId) -> dict[str, Any]:
    async with httpx.AsyncClient(
        base_url=RunFile.load(world.data).http_url, trust_env=False, timeout=30
    ) as api:
        found: dict[str, Any] = (await api.get(f"/v1/sessions/{session}")).json()
        return found


async def test_a_grid_operators_command_reaches_the_charging_profiles_and_ends(world: World) -> None:
    home = str(world.data.parent / "grid")
    await a_charging_session(world)

    async def above() -> bool:
        limits, _ = await allowed(world, "cars")
        return limits > 2_000

    await world.until(above, "the cars draw more than the limit to come", 60)
    here = ("--home", home, "--data", str(world.data))
    said = await evmesh("grid", "limit", "cars", "--power", "1.5kW", "--for", "30min", *here)
    assert said["power_w"] == 1_500

    async def below() -> bool:
        limits, is_capped = await allowed(world, "cars")  # where no car charges they are low without a cap
        return is_capped and limits <= 1_500

    await world.until(below, "the stations hold less", 30)
    clock = SharedClock(world.data / RunFile.load(world.data).clock)
    assert clock.now() < datetime.fromisoformat(said["until"])
    await world.until(above, "the limit is over", 90)
    assert clock.now() >= datetime.fromisoformat(said["until"]).astimezone(UTC)
