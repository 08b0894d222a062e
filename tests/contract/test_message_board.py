"""`MessageBoard`, and station announcements, on a real chain."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_announcement import Announcement, station_tag
from evmesh.domain.errors import IntegrityFailure, InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address, EvseId
from evmesh.domain.money import Price
from evmesh.domain.station_code import code_of
from evmesh.domain.units import W
from evmesh.ledger.asset_words import AssetKind, ConnectorKind, Lifecycle, NewAsset
from evmesh.ledger.channels_announcements import StationAnnouncer, StationFinder
from evmesh.ledger.keys import deposit_signer
from evmesh.ledger.message_board import MAX_MESSAGE_BYTES, BoardReader, MessageBoard
from evmesh.ledger.signatures import KeySigner
from tests.contract.ledger_world import Ledger, running_ledger

TAG = b"\x07" * 32
EVSE = NewAsset(
    kind=AssetKind.EVSE,
    lifecycle=Lifecycle.IN_SERVICE,
    connector=ConnectorKind.TYPE_2_SOCKET,
    rating=W(22_000),
    group=7,
    deposit_address=deposit_signer(b"\x01" * 32, EvseId.parse("DE*ABC*E1*1")).address,
    latitude_udeg=52_000_000,
    longitude_udeg=13_000_000,
    price=Price(450_000),
    record_hash=b"\x5a" * 32,
)
STATUS = Channel(Mode.PUBLIC, b"\x09" * 32, "status of the first station")
WORDS = Announcement(1, "https://charge.example/v1", b"\x08" * 32, STATUS, "Gate closes at 22:00")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


def board_of(ledger: Ledger, signer: KeySigner) -> MessageBoard:
    reader = BoardReader(ledger.rpc, ledger.deployment.contracts.board, from_block=ledger.deployment.block)
    return MessageBoard(reader, ledger.relayer(signer))


async def announcer(ledger: Ledger, signer: KeySigner) -> StationAnnouncer:
    board = board_of(ledger, signer)
    return StationAnnouncer(ledger.registry().registry, board)


def finder(ledger: Ledger) -> StationFinder:
    """As a driver has it: a node, two addresses, no key and no server."""
    reader = BoardReader(ledger.rpc, ledger.deployment.contracts.board)
    return StationFinder(ledger.registry().registry, reader)


async def test_the_newest_words_of_a_sender_stand_until_it_withdraws_them(ledger: Ledger) -> None:
    board = board_of(ledger, ledger.keys.operator)
    operator = ledger.keys.operator.address
    assert await board.reader.newest(operator, TAG) is None
    first = await board.post(TAG, b"first", "post:1")
    assert await board.post(TAG, b"other words for the same purpose", "post:1") == first
    assert await board.reader.newest(operator, TAG) == b"first"
    await board.post(TAG, bytes(MAX_MESSAGE_BYTES), "post:2")
    assert await board.reader.newest(operator, TAG) == bytes(MAX_MESSAGE_BYTES)
    await board.post(TAG, b"first", "post:3")
    assert await board.reader.newest(operator, TAG) == b"first"
    assert await board.reader.newest(ledger.keys.relayer.address, TAG) is None
    await board.withdraw(TAG, "withdraw:1")
    assert await board.reader.newest(operator, TAG) is None
    with pytest.raises(Refused, match=r"board\.nothing_posted"):
        await board.withdraw(TAG, "withdraw:2")


@pytest.mark.parametrize("body", [b"", bytes(MAX_MESSAGE_BYTES + 1)])
async def test_what_no_board_takes_is_refused_before_it_is_sent(ledger: Ledger, body: bytes) -> None:
    board = board_of(ledger, ledger.keys.operator)
    with pytest.raises(InvalidInput, match=r"board\.bad_length"):
        await board.post(TAG, body, "post:1")
    assert await ledger.journal.find("post:1") is None


async def test_words_that_the_node_has_dropped_are_missed_and_not_taken_from_older_ones(
    ledger: Ledger,
) -> None:
    board = board_of(ledger, ledger.keys.operator)
    await board.post(TAG, b"old", "post:1")
    newest = await board.post(TAG, b"new", "post:2")
    await board.post(bytes(32), b"so that there is a block after it", "post:other")
    pruned = BoardReader(ledger.rpc, ledger.deployment.contracts.board, from_block=newest.block + 1)
    with pytest.raises(Unavailable, match=r"board\.pruned"):
        await pruned.newest(board.address, TAG)
    await board.post(TAG, b"new", "post:3")
    assert await pruned.newest(board.address, TAG) == b"new"


async def test_another_contract_is_no_board(ledger: Ledger) -> None:
    stray = BoardReader(ledger.rpc, Address.parse("0x" + "11" * 20))
    with pytest.raises(ProtocolViolation, match=r"chain\.not_the_contract"):
        await stray.newest(ledger.keys.operator.address, TAG)


async def test_a_driver_finds_a_station_by_its_code_without_any_server(ledger: Ledger) -> None:
    await ledger.registry().register(EVSE, "register:1")
    facts, said = await finder(ledger).find(code_of(1))
    assert (facts.asset, said) == (1, None)
    operator = await announcer(ledger, ledger.keys.operator)
    await operator.announce(WORDS, "announce:1")
    typed = code_of(1).lower()
    facts, said = await finder(ledger).find(f"{typed[:4]} {typed[4:]}")
    assert facts.owner == ledger.keys.operator.address
    assert said == WORDS
    assert said.status is not None
    assert said.status.id == STATUS.id
    await operator.announce(replace(WORDS, note="Open day and night", status=None, inbox=None), "announce:2")
    _, said = await finder(ledger).find(code_of(1))
    assert said is not None
    assert (said.note, said.status, said.inbox) == ("Open day and night", None, None)
    await operator.withdraw(1, "withdraw:1")
    assert (await finder(ledger).find(code_of(1)))[1] is None


async def test_a_forged_announcement_is_not_found(ledger: Ledger) -> None:
    await ledger.registry().register(EVSE, "register:1")
    await (await announcer(ledger, ledger.keys.operator)).announce(WORDS, "announce:1")
    forged = replace(WORDS, api="https://thief.example")
    thief = await announcer(ledger, ledger.keys.relayer)
    with pytest.raises(Refused, match=r"announcement\.not_the_owner"):
        await thief.announce(forged, "forge:1")
    # The contract lets anybody post; what counts is who did.
    await board_of(ledger, ledger.keys.relayer).post(station_tag(code_of(1)), forged.encode(), "forge:2")
    assert (await finder(ledger).find(code_of(1)))[1] == WORDS


async def test_an_announcement_of_another_station_under_this_code_is_refused(ledger: Ledger) -> None:
    await ledger.registry().register(EVSE, "register:1")
    board = board_of(ledger, ledger.keys.operator)
    await board.post(station_tag(code_of(1)), replace(WORDS, asset=2).encode(), "post:1")
    with pytest.raises(IntegrityFailure, match=r"announcement\.other_station"):
        await finder(ledger).find(code_of(1))
    await board.post(station_tag(code_of(1)), b"closed", "post:2")
    with pytest.raises(IntegrityFailure, match=r"announcement\.malformed"):
        await finder(ledger).find(code_of(1))


async def test_a_code_that_nobody_has_is_told_apart_from_a_mistyped_one(ledger: Ledger) -> None:
    with pytest.raises(Refused, match=r"station\.unknown"):
        await finder(ledger).find(code_of(1))
    with pytest.raises(InvalidInput, match=r"station\.mistyped_code"):
        await finder(ledger).find(code_of(1)[:-1] + "0")
