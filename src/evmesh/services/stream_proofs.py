"""What anybody may ask of the further streams: lists of leaf hashes, and proofs under anchored heads."""

from collections.abc import Sequence

from evmesh.domain.chain import Contracts
from evmesh.domain.commitment import Answer, Stream, StreamLeaf
from evmesh.domain.commitment_proof import ProvenLeaf, ProvenStream, StreamList, StreamProof
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.ports import Unit
from evmesh.services.receipts import chain_ref
from evmesh.services.stream_trees import StreamTrees
from evmesh.services.transitions import Transitions

MAX_PAGE = 5_000
"""Hashes in one answer."""


class StreamProofs:
    """Reads only. Proofs are under heads of ours that were seen on chain."""

    def __init__(
        self, transitions: Transitions, trees: StreamTrees, contracts: Contracts, publisher: Address
    ) -> None:
        self._transitions = transitions
        self._trees = trees
        self._chain = chain_ref(contracts)
        self._publisher = publisher

    async def page(self, stream: Stream, start: int, limit: int) -> StreamList:
        """List leaf hashes from `start` on, at most `limit` and MAX_PAGE of them."""
        async with self._transitions.read() as unit:
            size = await unit.stream_size(stream)
            hashes = await unit.stream_hashes(stream, start, start + min(limit, MAX_PAGE))
        return StreamList(self._chain, self._publisher, stream, size, start, tuple(hashes))

    async def consistency(self, stream: Stream, first: int, second: int) -> list[bytes]:
        """Give the proof that the stream of `first` leaves is the beginning of that of `second`."""
        async with self._transitions.read() as unit:
            await self._trees.refresh(unit)
        log = self._trees.log(stream)
        if not 0 <= first <= second <= log.size:
            raise InvalidInput(
                "stream.no_such_size", f"sizes are from 0 to {log.size}, the first not above the second"
            )
        return log.consistency_proof(first, second)

    async def of_leaf(self, leaf: StreamLeaf) -> StreamProof:
        """Prove one statement; raises Refused `proof.not_yet` before its anchor."""
        return await self._proof([(leaf.stream, [leaf])], newest=True)

    async def of_plan(self, schedule_sha256: str) -> StreamProof:
        """Prove the commitment to the problem, the answer to it, and the source of the verifier they name.

        Under the first head that covers them, which shows how early they were there. Of a schedule that
        was given more than once the first time counts. Raises InvalidInput
        `plan.unknown`, and Refused `proof.not_yet` before the anchor.
        """
        async with self._transitions.read() as unit:
            answers = await unit.stream_leaves_of(Stream.SCHEDULES, schedule_sha256)
            if not answers:
                raise InvalidInput("plan.unknown", "there is no such plan")
            stated = Answer.parse(answers[0].payload)
            committed = await _commitment(unit, stated, answers[0].index)
            sources = await unit.stream_leaves_of(Stream.ALGORITHMS, stated.verifier_sha256.hex())
        return await self._proof(
            [(Stream.SCHEDULES, [*committed, answers[0]]), (Stream.ALGORITHMS, sources[:1])], newest=False
        )

    async def _proof(
        self, wanted: Sequence[tuple[Stream, Sequence[StreamLeaf]]], *, newest: bool
    ) -> StreamProof:
        """Prove leaves under the newest head on chain, or under the first that covers them."""
        async with self._transitions.read() as unit:
            await self._trees.refresh(unit)
            streams = [
                await self._under_head(unit, stream, leaves, newest) for stream, leaves in wanted if leaves
            ]
        return StreamProof(self._chain, self._publisher, tuple(streams))

    async def _under_head(
        self, unit: Unit, stream: Stream, leaves: Sequence[StreamLeaf], newest: bool
    ) -> ProvenStream:
        last = max(leaf.index for leaf in leaves)
        head = await unit.stream_head(stream, None if newest else last)
        if head is None or last >= head[0]:
            raise Refused(
                "proof.not_yet",
                "it is not anchored yet",
                do="ask again after the next quarter of an hour",
            )
        size, log = head[0], self._trees.log(stream)
        return ProvenStream(
            stream,
            *head,
            tuple(
                ProvenLeaf(leaf.index, leaf.salt, leaf.payload, tuple(log.inclusion_proof(leaf.index, size)))
                for leaf in leaves
            ),
        )


async def _commitment(unit: Unit, answer: Answer, before: int) -> list[StreamLeaf]:
    """Give the last commitment to the answer's problem that stands before it."""
    found = await unit.stream_leaves_of(Stream.SCHEDULES, answer.problem_sha256.hex())
    return [leaf for leaf in found if leaf.index < before][-1:]
