"""A grid operator's word on its channel, down to the charging profile; and what is none."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from evmesh.app.grid_site import GridConfig
from evmesh.app.platform_channels import ChannelWorld, open_channels
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import PowerCap
from evmesh.domain.errors import InvalidInput
from evmesh.domain.sessions import Session
from evmesh.domain.units import W
from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_follow import send
from evmesh.ledger.channels_writer import ChannelWriter
from evmesh.services.channel_caps import CapOrders, GridOperator
from tests.brokers import until
from tests.contract.channel_yard import (
    GRID,
    OURS,
    Yard,
    broker,
    driver,
    reading,
    yard,
)
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, running
from tests.unit.ledger.channel_world import THIEF, Dice

__all__ = ["broker", "driver", "yard"]  # fixtures


async def grid_channel(yard: Yard, orders_to: frozenset[str] = frozenset({"yard"})) -> ChannelDesk:
    """Let a grid operator speak, as its own process would."""
    book = await yard.book_of("grid")
    desk = ChannelDesk(GRID.writer, book, yard.carrier(), yard.world.clock, Dice(b"grid"))
    channel, sealed = await desk.begin("limits"), await desk.admit("limits", OURS.reader.public)
    operator = GridOperator("grid co", Invitation(channel, sealed), orders_to)
    orders = CapOrders(operator, yard.world.directory, yard.world.clock, yard.book, yard.world.caps.put)
    await yard.ears.listen("grid co", operator.invitation, orders.hear)
    return desk


def cap(yard: Yard, power: int | None, **changes: Any) -> PowerCap:
    now = yard.world.clock.now().replace(microsecond=0)
    order = PowerCap(
        now, "yard", None, None if power is None else W(power), now, now + timedelta(minutes=30), "hot cable"
    )
    return replace(order, **changes)


async def limit_in_force(yard: Yard, session: Session) -> W | None:
    """Run one cycle of the control loop; give the power that the station's profile allows now."""
    [group] = yard.world.directory.groups.values()
    await yard.world.control.once(group, has_moved=False)
    profile = yard.world.stations.limits[session.terms.connector]
    return profile.limit_at(yard.world.clock.now())


async def charging_at_full(yard: Yard, driver: Driver) -> Session:
    yard.world.live.awake |= yard.world.directory.stations
    return await yard.world.charging(driver, yard.world.places[0], 20_000, flexible=False)


async def test_a_grid_operators_word_lowers_the_charging_profile_until_it_ends(
    yard: Yard, driver: Driver
) -> None:
    grid = await grid_channel(yard)
    session = await charging_at_full(yard, driver)
    assert await limit_in_force(yard, session) == 7_360
    async with running(yard.ears):
        await grid.say({"limits": cap(yard, 2_300).encode()})
        await grid.carry_once()
        await heard(yard, 2_300)
    assert (await limit_in_force(yard, session) or 0) <= 2_300
    yard.world.clock.move(timedelta(minutes=31))
    assert (await limit_in_force(yard, session) or 0) > 2_300


async def test_a_cap_on_one_evse_and_a_word_that_lifts_it(yard: Yard, driver: Driver) -> None:
    grid, world = await grid_channel(yard), yard.world
    evse = world.places[1].connector.evse_id.text
    [group] = world.directory.groups.values()
    now = world.clock.now()

    def rating() -> W:
        return world.caps.rating(group, world.places[1].connector, now)

    async with running(yard.ears):
        await grid.say({"limits": cap(yard, 1_400, group=None, evse=evse).encode()})
        await grid.carry_once()
        await until(lambda: rating() == 1_400)
        assert world.caps.capacity(group, now) == group.capacity
        await grid.say({"limits": cap(yard, None, group=None, evse=evse).encode()})
        await grid.carry_once()
        await until(lambda: rating() == 7_360)


async def heard(yard: Yard, power: int) -> None:
    [group] = yard.world.directory.groups.values()
    await until(lambda: yard.world.caps.capacity(group, yard.world.clock.now()) == power)


async def test_what_is_expired_foreign_or_no_cap_changes_nothing_and_is_logged(yard: Yard) -> None:
    grid, now = await grid_channel(yard), yard.world.clock.now().replace(microsecond=0)
    worthless = [
        cap(yard, 1_000, starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1)).encode(),
        cap(yard, 1_000, group="another yard").encode(),
        cap(yard, 1_000, group=None, evse="NL*EVM*E999").encode(),
        b"turn everything off",
    ]
    with structlog.testing.capture_logs() as logs:
        async with running(yard.ears):
            for body in worthless:
                await grid.say({"limits": body})
            await grid.say({"limits": cap(yard, 9_000).encode()})
            await grid.carry_once()
            await heard(yard, 9_000)
    codes = [log["code"] for log in logs if log["event"] == "channel.refused"]
    assert sorted(codes) == ["cap.expired", "cap.foreign_group", "cap.foreign_group", "cbor.truncated"]
    async with yard.world.database.begin() as unit:
        assert [one.power for one in await unit.caps("yard")] == [9_000]


async def test_a_grid_operator_limits_only_what_the_site_gave_it(yard: Yard) -> None:
    grid = await grid_channel(yard, frozenset({"another yard"}))
    evse = yard.world.places[0].connector.evse_id.text
    with structlog.testing.capture_logs() as logs:
        async with running(yard.ears):
            await grid.say({"limits": cap(yard, 1_000).encode()})
            await grid.say({"limits": cap(yard, 1_000, group=None, evse=evse).encode()})
            await grid.carry_once()
            await until(lambda: len([log for log in logs if log["event"] == "channel.refused"]) == 2)
    assert {log["code"] for log in logs if log["event"] == "channel.refused"} == {"cap.foreign_group"}
    async with yard.world.database.begin() as unit:
        assert list(await unit.caps("yard")) == []


async def test_forged_and_replayed_frames_change_nothing_and_are_logged(yard: Yard) -> None:
    grid = await grid_channel(yard)
    reader = reading(
        Invitation(await grid.begin("limits"), await grid.admit("limits", OURS.reader.public)), OURS.reader
    )
    place = reader.places()[0]
    thief = ChannelWriter(Channel(Mode.RESTRICTED, THIEF.public, "limits"), THIEF, Dice(b"thief"))
    with structlog.testing.capture_logs() as logs:
        async with running(yard.ears), yard.carrier().open() as line:
            await grid.say({"limits": cap(yard, 9_000).encode()})
            await grid.carry_once()
            await heard(yard, 9_000)
            [(first, packet)] = [one async for one in stored_at(yard, place, 1)]
            assert first == place
            await grid.say({"limits": cap(yard, 8_000).encode()})
            await grid.carry_once()
            await heard(yard, 8_000)
            await line.put(place, 7, thief.write(cap(yard, 1_000).encode()).packet)
            await line.put(place, 8, packet)  # the older word, put where a new one would lie
            await grid.say({"limits": cap(yard, 7_000).encode()})
            await grid.carry_once()
            await heard(yard, 7_000)
    assert [log["code"] for log in logs if log["event"] == "channel.worthless"] == ["channel.unreadable"]
    async with yard.world.database.begin() as unit:
        assert [one.power for one in await unit.caps("yard")] == [9_000, 8_000, 7_000]


async def stored_at(yard: Yard, place: bytes, count: int) -> AsyncIterator[tuple[bytes, bytes]]:
    async with yard.carrier().open() as line:
        await line.watch(place)
        async for one in line.packets():
            yield one
            count -= 1
            if not count:
                return


async def test_a_word_that_a_newer_one_overtook_changes_nothing(yard: Yard) -> None:
    """The older frame is held back on the way, and let go when the newer one was heard."""
    grid_key = ChannelWriter(Channel(Mode.RESTRICTED, GRID.writer.public, "limits"), GRID.writer, Dice(b"g"))
    sealed = grid_key.grant(OURS.reader.public)
    operator = GridOperator("grid co", Invitation(grid_key.channel, sealed), frozenset({"yard"}))
    orders = CapOrders(operator, yard.world.directory, yard.world.clock, yard.book, yard.world.caps.put)
    await yard.ears.listen("grid co", operator.invitation, orders.hear)
    now = yard.world.clock.now().replace(microsecond=0)
    tomorrow = cap(yard, 3_000, starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=2))
    late = [grid_key.write(cap(yard, 16_000).encode()), grid_key.write(tomorrow.encode())]
    newest = grid_key.write(cap(yard, 5_000).encode())
    with structlog.testing.capture_logs() as logs:
        async with running(yard.ears), yard.carrier().open() as line:
            await send([newest], line)
            await heard(yard, 5_000)
            await send(late, line)
            [group] = yard.world.directory.groups.values()
            await until(lambda: yard.world.caps.capacity(group, now + timedelta(days=1)) == 3_000)
    assert yard.world.caps.capacity(group, now) == 5_000
    assert [log["code"] for log in logs if log["event"] == "channel.refused"] == ["cap.overtaken"]


async def test_a_revoked_station_operator_hears_no_more_caps(yard: Yard) -> None:
    grid = await grid_channel(yard)
    with structlog.testing.capture_logs() as logs:
        async with running(yard.ears):
            await grid.say({"limits": cap(yard, 9_000).encode()})
            await grid.revoke("limits", [OURS.reader.public])
            await grid.say({"limits": cap(yard, 1_000).encode()})
            await grid.carry_once()
            await until(lambda: any(log["event"] == "channel.excluded" for log in logs))
            await heard(yard, 9_000)


async def test_a_grant_that_is_not_for_us_is_told_at_the_start(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "grant").write_text("0x" + "ab" * 200)
    channel = Channel(Mode.RESTRICTED, GRID.writer.public, "limits")
    config = GridConfig("Net AG", channel, frozenset({"yard"}), tmp_path / "grant")
    world, mqtt = yard.world, yard.broker.config
    joined = ChannelWorld(
        tmp_path,
        mqtt,
        world.database,
        world.clock,
        lambda _: None,
        world.transitions,
        world.directory,
        OPERATOR,
        SIGNATURES,
    )
    with pytest.raises(InvalidInput, match=r"site\.bad_grant.*Net AG"):
        await open_channels(joined, (config,), yard.status_of, world.caps.put, world.live.note_wanted)
