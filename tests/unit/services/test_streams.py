"""The further streams: what goes in, in which order, when it is anchored, and what a crash may do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from evmesh.domain.commitment import Algorithm, Answer, Commitment, Stream, StreamLeaf
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.problem import parse_problem
from evmesh.domain.receipt import Receipt
from evmesh.domain.session_record import Record, countersigned
from evmesh.domain.sessions import Session, State
from evmesh.services.records import PATIENCE, Records
from evmesh.services.requests import NotPromised
from evmesh.services.stream_anchors import AHEAD, StreamAnchors, next_due, step_of
from evmesh.services.stream_log import StreamLog, publish_algorithm
from evmesh.services.stream_proofs import StreamProofs
from evmesh.services.stream_trees import StreamTrees
from evmesh.verify.records import verify_record
from evmesh.verify.report import Status
from evmesh.verify.stream_plan import plan_checks
from tests.drivers.clocks import MONDAY
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, eventually, open_world, running
from tests.unit.services.test_evidence import charge
from tests.unit.verify.commitment_factory import anchored, file_of

STEP = timedelta(minutes=15)
ALGORITHM = Algorithm("0.1.0", bytes(32), None)


@dataclass
class Streams:
    """The further streams of a world."""

    world: World
    records: Records
    trees: StreamTrees
    anchors: StreamAnchors
    proofs: StreamProofs

    @classmethod
    def of(cls, world: World) -> "Streams":
        log, trees = StreamLog(lambda size: b"\x5a" * size), StreamTrees()
        records = Records(world.transitions, OPERATOR, SIGNATURES, log)
        return cls(
            world,
            records,
            trees,
            StreamAnchors(world.transitions, world.clock, world.notary, trees, records),
            StreamProofs(world.transitions, trees, CONTRACTS, OPERATOR.notary),
        )

    async def leaves(self, stream: Stream, ref: str) -> list[StreamLeaf]:
        async with self.world.database.begin() as unit:
            return list(await unit.stream_leaves_of(stream, ref))

    async def size(self, stream: Stream) -> int:
        async with self.world.database.begin() as unit:
            return await unit.stream_size(stream)

    async def anchor(self) -> None:
        await self.anchors.anchor(self.world.clock.now())

    async def countersign(self, driver: Driver, session: Session) -> StreamLeaf | None:
        raw = await self.world.document(session, Receipt.FORMAT)
        return await self.records.countersign(session.id, driver.sign(countersigned(Receipt.parse(raw), raw)))


@pytest.fixture
def streams(world: World) -> Streams:
    return Streams.of(world)


async def settled(world: World, driver: Driver, bay: int = 0) -> Session:
    session = await charge(world, driver, bay)
    async with running(world.effects):
        return await world.settled(session)


# What is planned.


async def test_a_promise_is_preceded_by_the_commitment_to_its_inputs(
    world: World, streams: Streams, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0])
    [answer] = await streams.leaves(Stream.SCHEDULES, session.plan_sha256)
    stated = Answer.parse(answer.payload)
    [committed] = await streams.leaves(Stream.SCHEDULES, stated.problem_sha256.hex())
    assert committed.index < answer.index
    assert Commitment.parse(committed.payload).problem_sha256 == stated.problem_sha256
    async with world.database.begin() as unit:
        stored = await unit.plan_of(session.plan_sha256)
    assert stored is not None
    assert sha256(stored.problem).digest() == stated.problem_sha256


async def test_the_commitment_is_written_before_the_planner_is_asked(
    world: World, streams: Streams, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("evmesh.services.plans.admit", broken)
    seen: list[bytes] = []
    append = StreamLog.append

    async def noting(self: StreamLog, unit: object, stream: Stream, payload: bytes, *rest: object) -> object:
        seen.append(payload)
        return await append(self, unit, stream, payload, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(StreamLog, "append", noting)
    with pytest.raises(ZeroDivisionError):
        await world.ask(driver, world.places[0])
    assert [Commitment.parse(one).FORMAT for one in seen] == ["evmesh.commitment/1"]
    assert await streams.size(Stream.SCHEDULES) == 0  # with what was to be answered, it is rolled back


async def test_an_opt_out_driver_s_plan_is_committed_to_as_it_became(
    world: World, streams: Streams, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0], flexible=False)
    [answer] = await streams.leaves(Stream.SCHEDULES, session.plan_sha256)
    [committed] = await streams.leaves(Stream.SCHEDULES, Answer.parse(answer.payload).problem_sha256.hex())
    assert committed.index < answer.index


async def test_a_refusal_stands_there_like_a_promise(world: World, streams: Streams, driver: Driver) -> None:
    answer = await world.ask(driver, world.places[0], 200_000)
    assert isinstance(answer, NotPromised)
    schedule = sha256(answer.record.schedule).hexdigest()
    [stated] = await streams.leaves(Stream.SCHEDULES, schedule)
    problem = sha256(answer.record.problem)
    assert Answer.parse(stated.payload).problem_sha256 == problem.digest()
    [committed] = await streams.leaves(Stream.SCHEDULES, problem.hexdigest())
    assert committed.index < stated.index


async def test_planning_the_same_again_states_nothing_new(
    world: World, streams: Streams, driver: Driver
) -> None:
    await world.charging(driver, world.places[0])
    group = world.directory.groups["yard"]
    async with world.transitions.begin() as work:
        await world.planner.replan(work.unit, group, work.now)
    before = await streams.size(Stream.SCHEDULES)
    async with world.transitions.begin() as work:
        await world.planner.replan(work.unit, group, work.now)
    assert await streams.size(Stream.SCHEDULES) == before


async def test_what_is_published_names_nobody(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    async with world.database.begin() as unit:
        stored = await unit.plan_of(session.plan_sha256)
    assert stored is not None
    [request] = parse_problem(stored.problem).requests
    assert request.id == world.planner.pseudonym(session)
    for private in (session.id.text, driver.address.text, str(session.terms.connector), session.id_tag):
        assert private.encode() not in stored.problem + stored.schedule


async def test_a_plan_s_proof_is_under_the_first_head_that_covers_it(
    world: World, streams: Streams, driver: Driver
) -> None:
    await publish_algorithm(world.transitions, StreamLog(lambda size: bytes(size)), ALGORITHM)
    session = await world.promised(driver, world.places[0])
    with pytest.raises(Refused, match=r"proof\.not_yet"):
        await streams.proofs.of_plan(session.plan_sha256)
    await streams.anchor()
    first = await streams.proofs.of_plan(session.plan_sha256)
    await world.promised(Driver("another driver"), world.places[1])
    world.clock.move(STEP)
    await streams.anchor()
    again = await streams.proofs.of_plan(session.plan_sha256)
    assert again == first
    async with world.database.begin() as unit:
        stored = await unit.plan_of(session.plan_sha256)
    assert stored is not None
    facts = anchored(*first.streams, at=world.clock.now() - STEP, chain=first.chain)
    checks = plan_checks(
        file_of(first), stored.problem, stored.schedule, stored.start, bytes(32), world.trust(), facts
    )
    assert {check.status for check in checks} == {Status.OK}, checks
    with pytest.raises(InvalidInput, match=r"plan\.unknown"):
        await streams.proofs.of_plan("00" * 32)


# What is recorded.


async def test_a_session_that_both_signed_is_recorded_with_both_signatures(
    world: World, streams: Streams, driver: Driver
) -> None:
    session = await settled(world, driver)
    assert await streams.countersign(driver, session) is None
    await streams.anchor()
    leaf = await streams.countersign(driver, session)
    assert leaf is not None
    proof = await streams.proofs.of_leaf(leaf)
    facts = anchored(*proof.streams, chain=proof.chain)
    receipt = await world.document(session, Receipt.FORMAT)
    report = verify_record(file_of(proof), SIGNATURES, receipt, world.trust(), facts)
    assert {check.status for check in report.checks} == {Status.OK}, report
    assert Record.parse(leaf.payload).outcome == "settled"


async def test_a_session_waits_a_day_for_its_driver_and_is_then_the_operator_s_word(
    world: World, streams: Streams, driver: Driver
) -> None:
    session = await settled(world, driver)
    world.clock.move(PATIENCE - timedelta(minutes=1))
    assert await streams.records.gather() == 0
    world.clock.move(timedelta(minutes=1))
    assert await streams.records.gather() == 1
    assert await streams.records.gather() == 0
    leaf = await streams.countersign(driver, session)
    assert leaf is not None
    assert Record.parse(leaf.payload).countersignature is None
    await streams.anchor()
    proof = await streams.proofs.of_leaf(leaf)
    report = verify_record(file_of(proof), SIGNATURES)
    assert report.ok
    unsigned = next(check for check in report.checks if check.name == "countersignature")
    assert unsigned.status is Status.NOT_CHECKED


async def test_nobody_but_the_payer_signs_a_record_or_sees_it(
    world: World, streams: Streams, driver: Driver, thief: Driver
) -> None:
    session = await settled(world, driver)
    await streams.countersign(driver, session)
    await streams.anchor()
    with pytest.raises(IntegrityFailure, match=r"record\.wrong_signature"):
        await streams.countersign(thief, session)
    raw = await world.document(session, Receipt.FORMAT)
    cheaper = countersigned(Receipt.parse(raw), raw + b" ")
    with pytest.raises(IntegrityFailure, match=r"record\.wrong_signature"):
        await streams.records.countersign(session.id, driver.sign(cheaper))


async def test_a_session_that_did_not_end_yet_is_not_recorded(
    world: World, streams: Streams, driver: Driver
) -> None:
    running_one = await world.charging(driver, world.places[0])
    with pytest.raises(Refused, match=r"receipt\.not_yet"):
        await streams.records.countersign(running_one.id, bytes(64))
    session = await world.end(running_one, 2_000)
    assert session.state is State.METERED
    await streams.countersign(driver, session)
    assert await streams.records.gather() == 0
    async with running(world.effects):
        await world.settled(session)
    assert await streams.records.gather() == 1


# When it is anchored.


def test_the_step_of_an_anchor_begins_ahead_of_the_boundary() -> None:
    boundary = MONDAY + STEP
    assert next_due(MONDAY) == boundary - AHEAD
    assert next_due(boundary - AHEAD) == boundary + STEP - AHEAD
    assert step_of(boundary - AHEAD - timedelta(seconds=1)) + 1 == step_of(boundary - AHEAD)


async def test_all_groups_and_streams_share_one_transaction_in_each_step(
    world: World, streams: Streams, driver: Driver
) -> None:
    await publish_algorithm(world.transitions, StreamLog(lambda size: bytes(size)), ALGORITHM)
    await world.promised(driver, world.places[0])
    async with running(streams.anchors):
        await eventually(sent(world, 1))
        await world.promised(Driver("another driver"), world.places[1])
        world.clock.move(next_due(world.clock.now()) - world.clock.now())
        await eventually(sent(world, 2))
        world.clock.move(next_due(world.clock.now()) - world.clock.now())  # nothing grew: nothing is sent
        await eventually(is_known(streams, Stream.SCHEDULES))
    assert len(world.notary.sent) == 2
    assert set(world.notary.heads) == {Stream.SCHEDULES.id, Stream.ALGORITHMS.id}


def sent(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len(world.notary.sent) >= count

    return holds


def is_known(streams: Streams, stream: Stream) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        head = streams.trees.head(stream)
        return head is not None and head.size == await streams.size(stream)

    return holds


async def test_a_step_is_anchored_once_however_often_it_is_begun(
    world: World, streams: Streams, driver: Driver
) -> None:
    await world.promised(driver, world.places[0])
    await streams.anchor()
    await world.promised(Driver("another driver"), world.places[1])
    again = Streams.of(world)  # as after a kill in the same step
    await again.anchor()
    assert len(world.notary.sent) == 1
    world.clock.move(STEP)
    await again.anchor()
    assert len(world.notary.sent) == 2
    head = again.trees.head(Stream.SCHEDULES)
    assert head is not None
    assert head.size == await again.size(Stream.SCHEDULES)


@pytest.mark.parametrize("point", ["streams:before_send", "streams:after_send"])
async def test_a_crash_around_the_anchor_loses_and_doubles_nothing(
    tmp_path: Path, driver: Driver, point: str
) -> None:
    class Killed(BaseException):
        pass

    def crash(name: str) -> None:
        if name == point:
            raise Killed

    async with open_world(tmp_path) as world:
        notary = world.notary
        session = await world.promised(driver, world.places[0])
        streams = Streams.of(world)
        world.transitions.checkpoint = crash
        with pytest.raises(Killed):
            await streams.anchor()
    async with open_world(tmp_path) as world:
        world.notary.heads, world.notary.by_key, world.notary.sent = notary.heads, notary.by_key, notary.sent
        streams = Streams.of(world)
        await streams.anchor()
        assert len(world.notary.sent) == 1
        assert (await streams.proofs.of_plan(session.plan_sha256)).of(Stream.SCHEDULES) is not None


async def test_a_chain_that_is_away_is_waited_for(world: World, streams: Streams, driver: Driver) -> None:
    await world.promised(driver, world.places[0])
    world.notary.away = True
    with pytest.raises(Unavailable):
        await streams.anchors.run()
    assert streams.anchors.wait_s == 0
    world.notary.away = False
    async with running(streams.anchors):
        await eventually(sent(world, 1))


@pytest.mark.parametrize("foreign", [(1, b"\x66" * 32), (99, b"\x66" * 32)], ids=["shorter", "longer"])
async def test_a_head_that_is_not_ours_is_flagged_and_not_built_upon(
    world: World, streams: Streams, driver: Driver, foreign: tuple[int, bytes]
) -> None:
    session = await world.promised(driver, world.places[0])
    await streams.anchor()
    size = await streams.size(Stream.SCHEDULES)
    world.notary.heads[Stream.SCHEDULES.id] = foreign
    await world.promised(Driver("another driver"), world.places[1])
    world.clock.move(STEP)
    await streams.anchor()
    head = streams.trees.head(Stream.SCHEDULES)
    assert head is not None
    assert not head.is_ours
    assert len(world.notary.sent) == 1
    proof = (await streams.proofs.of_plan(session.plan_sha256)).of(Stream.SCHEDULES)
    assert proof is not None
    assert proof.size == size  # what was proven by our own head stays proven


async def test_a_release_states_its_verifier_once(world: World, streams: Streams) -> None:
    log = StreamLog(lambda size: bytes(size))
    assert await publish_algorithm(world.transitions, log, ALGORITHM)
    assert not await publish_algorithm(world.transitions, log, ALGORITHM)
    assert await publish_algorithm(world.transitions, log, Algorithm("0.2.0", bytes(32), None))
    assert await streams.size(Stream.ALGORITHMS) == 2


async def test_pages_make_the_whole_list_and_heads_extend_each_other(
    world: World, streams: Streams, driver: Driver
) -> None:
    for bay in range(2):
        await world.promised(Driver(f"driver {bay}"), world.places[bay])
    size = await streams.size(Stream.SCHEDULES)
    pages = [await streams.proofs.page(Stream.SCHEDULES, start, 2) for start in range(0, size, 2)]
    assert [one.size for one in pages] == [size] * len(pages)
    hashes = [one for page in pages for one in page.hashes]
    async with world.database.begin() as unit:
        assert hashes == list(await unit.stream_hashes(Stream.SCHEDULES, 0, size))
    assert await streams.proofs.consistency(Stream.SCHEDULES, 2, size)
    with pytest.raises(InvalidInput, match=r"stream\.no_such_size"):
        await streams.proofs.consistency(Stream.SCHEDULES, 2, size + 1)
