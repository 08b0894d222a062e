"""What a session tells its readers, and who they are."""

from pathlib import Path

import pytest

from evmesh.domain.channel_messages import MeterData
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.merkle import leaf_hash
from evmesh.domain.sessions import State
from evmesh.domain.units import W
from evmesh.ledger.channels_epoch import Opened
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_reader import ChannelReader, Excluded
from evmesh.services.channel_access import SessionChannel
from tests.contract.channel_yard import (
    Yard,
    broker,
    driver,
    key_of,
    reading,
    statuses,
    yard,
)
from tests.fakes.world import Driver, running
from tests.unit.ledger.channel_world import STRANGER

__all__ = ["broker", "driver", "yard"]  # fixtures


async def test_a_driver_reads_its_charge_from_promise_to_end_also_after_being_away(
    yard: Yard, driver: Driver
) -> None:
    world = yard.world
    session = await world.promised(driver, world.places[0], 2_000)
    reader = reading(await yard.allow(driver, session, key_of(driver)), key_of(driver))
    await yard.tell()
    [first] = statuses(await yard.read(reader))
    assert (first.session, first.state, first.energy, first.cost) == (session.id, State.RESERVED, 0, 0)
    assert first.finish_at is not None
    assert first.finish_at <= session.terms.departure
    # Away from here on; nothing is lost meanwhile.
    session = await world.pay(driver, session)
    assert (await world.begin(session)).accepted
    session = await world.now(session)
    await yard.tell()
    await world.measure(session, 1_500, power=W(3_000), soc_percent=41)
    await yard.tell()
    session = await world.end(session, 2_000)
    await yard.tell()
    async with running(world.effects):
        session = await world.settled(session)
    await yard.tell()
    state = reader.state()
    seen = await yard.read(ChannelReader.restore(reader.channel, key_of(driver), state))
    told = statuses(seen)
    assert [one.state for one in told] == [State.CHARGING, State.CHARGING, State.METERED, State.SETTLED]
    assert (told[1].power, told[1].soc_percent, told[1].energy) == (3_000, 41, 500)
    assert told[1].cost == 500 * session.terms.price // 1000
    assert told[-1].energy == 1_000
    assert told[-1].finish_at == session.stopped_at.replace(microsecond=0) if session.stopped_at else False
    assert any(isinstance(one, Excluded) for one in seen), "the end of the channel is said"


async def test_what_could_not_be_kept_is_said_again(
    yard: Yard, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await yard.world.promised(driver, yard.world.places[0])
    reader = reading(await yard.allow(driver, session, key_of(driver)), key_of(driver))

    async def fail(*_: object) -> None:
        raise Unavailable("store.unavailable", "the disk is full")

    with monkeypatch.context() as full:
        full.setattr(yard.desk, "say", fail)
        with pytest.raises(Unavailable):
            await yard.sessions.tell()
    await yard.tell()
    assert [one.state for one in statuses(await yard.read(reader))] == [State.RESERVED]


async def test_nobody_but_the_payer_says_who_reads(yard: Yard, driver: Driver) -> None:
    world, thief = yard.world, Driver("thief")
    session = await world.promised(driver, world.places[0])
    with pytest.raises(IntegrityFailure, match=r"channel\.wrong_signature"):
        await yard.allow(thief, session, key_of(thief))
    with pytest.raises(InvalidInput, match=r"channel\.stale_word"):
        await yard.allow(driver, session, key_of(driver), at=int(world.at(hours=-1).timestamp()))
    with pytest.raises(InvalidInput, match=r"channel\.unknown"):
        await yard.allow(driver, session, key_of(driver), channel="secrets")
    assert await yard.desk.readers(f"status {session.id}") == ()
    invitation = await yard.allow(driver, session, key_of(driver))
    with pytest.raises(IntegrityFailure, match=r"channel\.not_granted"):
        open_grant(invitation.channel, invitation.sealed, key_of(thief))
    again = await yard.accesses.invitation(session.id, SessionChannel.STATUS, key_of(driver).public)
    assert again == invitation
    with pytest.raises(Refused, match=r"channel\.not_a_reader"):
        await yard.accesses.invitation(session.id, SessionChannel.STATUS, key_of(thief).public)


async def test_a_revoked_reader_reads_nothing_of_what_follows_and_no_replay_lets_it_in(
    yard: Yard, driver: Driver
) -> None:
    world = yard.world
    session = await world.promised(driver, world.places[0])
    mine = reading(await yard.allow(driver, session, key_of(driver)), key_of(driver))
    now = int(world.clock.now().timestamp())
    theirs = reading(await yard.allow(driver, session, STRANGER, at=now), STRANGER)
    await yard.tell()
    assert await yard.allow(driver, session, STRANGER, allowed=False, at=now + 1) is None
    session = await world.pay(driver, session)
    await yard.tell()
    seen = await yard.read(theirs)
    assert [one.state for one in statuses(seen)] == [State.RESERVED]
    assert any(isinstance(one, Excluded) for one in seen)
    assert [one.state for one in statuses(await yard.read(mine))] == [State.RESERVED, State.STARTING]
    with pytest.raises(Refused, match=r"channel\.older_word"):
        await yard.allow(driver, session, STRANGER, at=now)
    # The operator can shut out as well.
    await yard.accesses.revoke(session.id, SessionChannel.STATUS, key_of(driver).public)
    await yard.world.begin(session)
    await yard.tell()
    assert statuses(await yard.read(mine)) == []


async def test_a_reader_whom_the_driver_chose_gets_every_reading_with_its_proof(
    yard: Yard, driver: Driver, tmp_path: Path
) -> None:
    world = yard.world
    session = await world.promised(driver, world.places[0], 2_000)
    reader = reading(await yard.allow(driver, session, STRANGER, channel="readings"), STRANGER)
    session = await world.pay(driver, session)
    await world.begin(session)
    session = await world.now(session)
    await yard.tell()
    await world.measure(session, 1_400, power=W(3_000))
    await yard.tell()
    session = await world.end(session, 1_800)
    async with running(world.effects):
        await world.settled(session)
    await yard.tell()
    opened = sorted(
        (one for one in await yard.read(reader) if isinstance(one, Opened)), key=lambda one: one.at.seq
    )
    told = [MeterData.parse(one.body) for one in opened]
    async with world.database.begin() as unit:
        leaves = await unit.session_leaves(session.id)
    assert len(leaves) >= 2
    assert [leaf_hash(one.salt + one.leaf) for one in told] == [leaf.hash for leaf in leaves]
    assert [one.index for one in told] == [leaf.index for leaf in leaves]
