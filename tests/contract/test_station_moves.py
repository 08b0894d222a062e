"""`evmesh station` on a chain without any platform, and what thieves put under other people's codes."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.app.asset_file import AssetSpec, kept_record, read_asset_file
from evmesh.app.examples import example
from evmesh.app.platform_channels import operator_identity
from evmesh.app.station import _station_lines, _status_lines
from evmesh.app.station_moves import announce, find, register, status
from evmesh.domain.asset_status import Occupancy, StatusRecord
from evmesh.domain.channel_announcement import Announcement, station_tag
from evmesh.domain.errors import Refused
from evmesh.domain.money import format_units
from evmesh.domain.station_code import code_of
from evmesh.domain.units import W
from evmesh.ledger.asset_status import StatusPublisher, StatusReader
from evmesh.ledger.channels_announcements import StationAnnouncer
from evmesh.ledger.message_board import BoardReader, MessageBoard
from evmesh.ledger.registry import AssetOwner
from evmesh.ledger.relayer import writer_lock
from evmesh.services.announcements import REPEATED_EVERY, Announcements
from evmesh.services.directory import Directory, Group
from tests.contract.ledger_world import Ledger, running_ledger
from tests.fakes.world import place

INBOX = b"\x08" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as one:
        yield one


def evse(**changes: object) -> dict[str, object]:
    return read_asset_file(str(example("assets/evse.toml"))) | changes


async def registered(ledger: Ledger) -> str:
    made = await register(evse(), ledger.directory, ledger.chain.url)
    code: str = made["code"]
    return code


def thief_board(ledger: Ledger) -> MessageBoard:
    reader = BoardReader(ledger.rpc, ledger.deployment.contracts.board)
    return MessageBoard(reader, ledger.relayer(ledger.keys.relayer))


async def test_an_evse_is_registered_announced_and_found_with_a_node_alone(ledger: Ledger) -> None:
    directory, url = ledger.directory, ledger.chain.url
    code = await registered(ledger)
    assert await registered(ledger) == code  # the same one once
    assert kept_record(directory, 1) is not None
    found = await find(code, directory, url)
    assert (found["owner"], found["announcement"]) == (ledger.keys.operator.address.text, None)
    [said] = await announce(None, "Gate 3", directory, url)
    assert said["code"] == code
    found = await find(f"{code[:4]}-{code[4:]}".lower(), directory, url)
    assert f"{format_units(found['price'])} devEUR per kWh" in "\n".join(_station_lines(found))
    assert found["announcement"] == {
        "api": "",
        "inbox": "0x" + operator_identity(directory).reader.public.hex(),
        "status": None,
        "note": "Gate 3",
    }
    assert found["record"]["status"] == "not_checked"
    assert "no base URL" in found["record"]["what"]


async def test_a_squatted_code_shows_nothing_of_the_squatter(ledger: Ledger) -> None:
    code = await registered(ledger)
    forged = Announcement(1, "https://thief.example", b"\x66" * 32, None, "send money here")
    await thief_board(ledger).post(station_tag(code), forged.encode(), "forge")
    found = await find(code, ledger.directory, ledger.chain.url)
    assert found["announcement"] is None
    assert "thief" not in json.dumps(found)
    thiefs = StationAnnouncer(ledger.registry().registry, thief_board(ledger))
    with pytest.raises(Refused, match=r"announcement\.not_the_owner"):
        await thiefs.announce(forged, "forge:2")
    # A code cannot be chosen: what the thief registers gets the next number, and so another code.
    thief = AssetOwner(ledger.registry().registry, ledger.relayer(ledger.keys.relayer))
    keys = ledger.directory / "keys" / "operator.key"
    spec = AssetSpec.of(evse(), ledger.keys.gateway.address)
    copy = spec.new_asset(ledger.keys.relayer.address, bytes.fromhex(keys.read_text().strip()))
    assert code_of(await thief.register(copy, "squat")) != code


async def test_while_a_platform_runs_nobody_else_sends_for_its_accounts(ledger: Ledger) -> None:
    with (
        writer_lock(ledger.directory / "keys" / "writer.lock"),
        pytest.raises(Refused, match=r"chain\.other_writer"),
    ):
        await registered(ledger)


async def test_how_an_asset_is_stands_on_the_chain(ledger: Ledger) -> None:
    directory, url = ledger.directory, ledger.chain.url
    code = await registered(ledger)
    assert (await status(code, directory, url))["published"] is False
    reader = StatusReader(ledger.rpc, ledger.deployment.contracts.status)
    mine = StatusPublisher(reader, ledger.relayer(ledger.keys.operator))
    await mine.publish([StatusRecord(1, 1_980_000, Occupancy.CHARGING, 80, W(7_000))], "status:1")
    thief = StatusPublisher(reader, ledger.relayer(ledger.keys.relayer))
    await thief.publish([StatusRecord(1, 1_980_009, Occupancy.FAULTED)], "status:2")
    found = await status(code, directory, url)
    assert (found["state"], found["soc_percent"], found["power_w"]) == ("charging", 80, 7_000)
    assert found["state_since"] == found["at"]
    for step in (1, 2, 4, 5):  # one was left out
        await mine.publish([StatusRecord(1, 1_980_000 + step, Occupancy.CHARGING)], f"status:later:{step}")
    found = await status(code, directory, url)
    assert (found["step"], found["at"]) == (1_980_005, "2026-06-21T01:15:00Z")
    assert found["state_since"] == "2026-06-21T01:00:00Z"
    words = "\n".join(_status_lines(found))
    assert "as of     2026-06-21T01:15:00Z, the newest quarter-hour" in words
    assert "so since  2026-06-21T01:00:00Z, in every quarter-hour" in words
    with pytest.raises(Refused, match=r"station\.unknown"):
        await status(code_of(2), directory, url)


async def test_stations_are_announced_once_a_period_and_again_in_the_next(ledger: Ledger) -> None:
    await registered(ledger)
    directory = Directory((Group("yard", W(16_000), (place(1, "yard"),)),))
    board = MessageBoard(
        BoardReader(ledger.rpc, ledger.deployment.contracts.board), ledger.relayer(ledger.keys.operator)
    )
    announcer = StationAnnouncer(ledger.registry().registry, board)

    async def posted() -> int:
        return len(await ledger.journal.newest("announce", 100))

    service = Announcements(ledger.clock, directory, announcer, INBOX)
    await service.announce()
    await service.announce()
    await Announcements(ledger.clock, directory, announcer, INBOX).announce()  # after a restart
    assert await posted() == 1
    await Announcements(ledger.clock, directory, announcer, INBOX, "closed on Sunday").announce()
    assert await posted() == 2
    ledger.clock.move(seconds=(REPEATED_EVERY + timedelta(hours=1)).total_seconds())
    await service.announce()
    assert await posted() == 3
    # A station that is not ours is not announced, and said so.
    foreign = Directory((Group("yard", W(16_000), (replace(place(1, "yard"), asset=2),)),))
    with pytest.raises(Refused, match=r"announcement\.not_the_owner"):
        await Announcements(ledger.clock, foreign, announcer, INBOX).announce()
