"""The port Notary on a real chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.ports import Notary
from tests.contract.ledger_world import Ledger, running_ledger

METERS, SCHEDULES = b"\x01" * 32, b"\x02" * 32
ROOT, NEXT, LAST = b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


async def test_the_newest_anchor_is_read_back(ledger: Ledger) -> None:
    notary: Notary = ledger.notary()
    assert await notary.head(METERS) == (0, bytes(32))
    await notary.anchor(METERS, 10, ROOT, "anchor:10")
    ledger.clock.move(minutes=15)
    mined = await notary.anchor(METERS, 12, NEXT, "anchor:12")
    assert mined.gas_used > 0
    assert await notary.head(METERS) == (12, NEXT)
    newest = await ledger.notary().reader.newest(ledger.keys.notary.address, METERS)
    assert newest.anchored_at == int(ledger.clock.now().timestamp())


async def test_a_head_that_is_there_or_older_is_not_sent_again(ledger: Ledger) -> None:
    notary = ledger.notary()
    first = await notary.anchor(METERS, 10, ROOT, "anchor:10")
    second = await notary.anchor(METERS, 12, NEXT, "anchor:12")
    before = await ledger.rpc.block_number()
    assert await notary.anchor(METERS, 10, ROOT, "anchor:10") == first
    assert await notary.anchor(METERS, 12, NEXT, "another purpose") == second
    assert await notary.anchor(METERS, 11, LAST, "late") == second  # what has 12 leaves covers 11
    assert await ledger.rpc.block_number() == before


async def test_another_root_at_an_anchored_size_is_a_broken_log(ledger: Ledger) -> None:
    notary = ledger.notary()
    await notary.anchor(METERS, 10, ROOT, "anchor:10")
    with pytest.raises(IntegrityFailure, match=r"notary\.other_root"):
        await notary.anchor(METERS, 10, NEXT, "anchor:again")
    await notary.anchor(METERS, 12, NEXT, "anchor:12")
    with pytest.raises(IntegrityFailure, match=r"notary\.other_root"):
        await notary.anchor(METERS, 10, NEXT, "anchor:again")


async def test_several_streams_go_together(ledger: Ledger) -> None:
    notary = ledger.notary()
    await notary.anchor_many([(METERS, 10, ROOT), (SCHEDULES, 3, NEXT)], "both")
    assert await notary.head(METERS) == (10, ROOT)
    assert await notary.head(SCHEDULES) == (3, NEXT)
    with pytest.raises(Refused, match=r"notary\.must_grow"):
        await notary.anchor_many([(METERS, 11, ROOT), (SCHEDULES, 3, NEXT)], "again")
    with pytest.raises(InvalidInput, match=r"notary\.too_many"):
        await notary.anchor_many([], "none")


async def test_logs_list_the_anchors_of_one_stream(ledger: Ledger) -> None:
    notary = ledger.notary()
    for size in (1, 2, 3):
        await notary.anchor(METERS, size, ROOT, f"anchor:{size}")
    await notary.anchor(SCHEDULES, 9, NEXT, "other stream")
    logs = await notary.reader.logs(notary.publisher, METERS)
    assert [(log.size, log.root) for log in logs] == [(1, ROOT), (2, ROOT), (3, ROOT)]
