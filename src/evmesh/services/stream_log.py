"""The further streams: each is appended to in the database transaction of what it states."""

from datetime import datetime
from hashlib import sha256

from evmesh.domain.commitment import (
    SALT_BYTES,
    Algorithm,
    Answer,
    Commitment,
    Stream,
    StreamLeaf,
    stream_leaf_hash,
)
from evmesh.domain.evidence import StoredPlan
from evmesh.domain.problem import Problem, problem_sha256, write_problem
from evmesh.domain.schedule import Refusal, write_schedule
from evmesh.ports import Randomness, StreamUnit, Unit
from evmesh.services.transitions import Transitions


class StreamLog:
    """Appends statements, each under a fresh salt."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness

    async def append(
        self, unit: StreamUnit, stream: Stream, payload: bytes, ref: str, at: datetime
    ) -> StreamLeaf:
        """Add one statement; `ref` is what it will be looked for by."""
        salt = self._randomness(SALT_BYTES)
        leaf = StreamLeaf(
            stream=stream,
            index=await unit.stream_size(stream),
            ref=ref,
            at=at,
            salt=salt,
            payload=payload,
            hash=stream_leaf_hash(stream, salt, payload),
        )
        await unit.append_stream_leaf(leaf)
        return leaf


class ScheduleLog:
    """Commits to each problem before it is solved, and states the answer after: one stream for all groups.

    Both name the source of the verifier that the answer is to pass.
    """

    def __init__(self, log: StreamLog, verifier_sha256: bytes) -> None:
        self._log = log
        self._verifier_sha256 = verifier_sha256

    async def pose(self, unit: Unit, now: datetime, problem: Problem, group: str = "") -> str:
        """Commit to a problem that is about to be solved, unless it is the newest one of `group`.

        Gives the SHA-256 of its file.
        """
        raw = write_problem(problem)
        last = await unit.plan(group) if group else None
        posed = problem_sha256(raw)
        if last is None or last.problem_sha256 != posed:
            await self.commit(unit, now, posed)
        return posed

    async def refuse(self, unit: Unit, now: datetime, posed: str, refusal: Refusal) -> None:
        """State that a problem has no solution."""
        await self.answer(unit, now, posed, sha256(write_schedule(refusal)).hexdigest())

    async def keep(self, unit: Unit, posed: str, plan: StoredPlan) -> None:
        """State that a plan is the answer.

        Where it is one to another problem than was posed (promises that do not fit any more, a stay that
        was cut), that one is found by solving; it is committed to before its answer is.
        """
        if plan.wanted is not None and plan.shortfall is not None:
            wanted = problem_sha256(plan.wanted)
            if wanted != posed:
                await self.commit(unit, plan.made_at, wanted)
            await self.answer(unit, plan.made_at, wanted, sha256(plan.shortfall).hexdigest())
        if plan.problem_sha256 != posed:
            await self.commit(unit, plan.made_at, plan.problem_sha256)
        await self.answer(unit, plan.made_at, plan.problem_sha256, plan.schedule_sha256)

    async def commit(self, unit: StreamUnit, now: datetime, problem: str) -> None:
        """Commit to the problem of this hash."""
        stated = Commitment(_whole_second(now), bytes.fromhex(problem), self._verifier_sha256)
        await self._log.append(unit, Stream.SCHEDULES, stated.encode(), problem, now)

    async def answer(self, unit: StreamUnit, now: datetime, problem: str, schedule: str) -> None:
        """State which schedule, or refusal, is the answer to a problem; both by their hashes."""
        stated = Answer(
            _whole_second(now), bytes.fromhex(problem), bytes.fromhex(schedule), self._verifier_sha256
        )
        await self._log.append(unit, Stream.SCHEDULES, stated.encode(), schedule, now)


async def publish_algorithm(transitions: Transitions, log: StreamLog, algorithm: Algorithm) -> bool:
    """State the verifier's source once per release; give False where it stands there already."""
    payload, ref = algorithm.encode(), algorithm.verifier_sha256.hex()
    async with transitions.begin() as work:
        known = await work.unit.stream_leaves_of(Stream.ALGORITHMS, ref)
        if any(leaf.payload == payload for leaf in known):
            return False
        await log.append(work.unit, Stream.ALGORITHMS, payload, ref, work.now)
    return True


def _whole_second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
