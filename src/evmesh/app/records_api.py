"""Routes of the further streams: lists of hashes for everybody, a record for who can sign for its payer."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from evmesh.app.api_models import Body, HexSignature, signature_bytes
from evmesh.app.problems import problem
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import write_path
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.strict import write_bytes
from evmesh.services.records import Records
from evmesh.services.stream_proofs import MAX_PAGE, StreamProofs
from evmesh.services.stream_trees import StreamTrees

Json = dict[str, Any]
NAMES = {"records": Stream.RECORDS, "schedules": Stream.SCHEDULES, "algorithms": Stream.ALGORITHMS}

From = Annotated[int, Query(alias="from", ge=0, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Size = Annotated[int, Query(ge=0, lt=2**31)]


class CountersignBody(Body):
    """The driver's signature of the session's record."""

    signature: HexSignature


def add_records(app: FastAPI, *, records: Records, proofs: StreamProofs, trees: StreamTrees) -> None:
    """Add them; before routes with more general paths."""

    @app.post("/v1/sessions/{id}/countersign")
    async def countersign(id: str, body: CountersignBody) -> Json:
        """Sign a session's record; the same again later gives the record and its proof."""
        session = SessionId.parse(id)
        leaf = await records.countersign(session, signature_bytes(body.signature))
        if leaf is None:
            return {"session": session.text, "state": "waiting", "proof": None}
        try:
            proof = await proofs.of_leaf(leaf)
        except Refused:
            return {"session": session.text, "state": "recorded", "proof": None}
        return {"session": session.text, "state": "anchored", "proof": proof.to_json()}

    @app.get("/v1/records")
    async def list_records(start: From = 0, limit: Limit = 1_000) -> Json:
        """Leaf hashes of all records of sessions, in the order in which they were added."""
        return (await proofs.page(Stream.RECORDS, start, limit)).to_json()

    @app.get("/v1/streams")
    async def streams() -> Json:
        """Each further stream with its newest head on chain, as it was last looked at."""
        return {"streams": [_shown(name, stream, trees) for name, stream in NAMES.items()]}

    @app.get("/v1/streams/{name}")
    async def list_stream(name: str, start: From = 0, limit: Limit = 1_000) -> Json:
        """Leaf hashes of one stream."""
        return (await proofs.page(_stream(name), start, limit)).to_json()

    @app.get("/v1/streams/{name}/consistency")
    async def consistency(name: str, first: Size, second: Size) -> Json:
        """The proof that the stream of `first` leaves is the beginning of that of `second`."""
        return {"path": write_path(await proofs.consistency(_stream(name), first, second))}

    @app.get("/v1/plans/{schedule_sha256}/proof")
    async def plan_proof(schedule_sha256: str) -> Response:
        """That a plan's problem was committed to, and its answer stated, under an anchored head."""
        try:
            found = await proofs.of_plan(schedule_sha256)
        except (InvalidInput, Refused) as error:
            return problem(error, status=404)
        return _file(found.to_json())


def _shown(name: str, stream: Stream, trees: StreamTrees) -> Json:
    head = trees.head(stream)
    anchored = None
    if head is not None:
        anchored = {"size": head.size, "root": write_bytes(head.root), "is_ours": head.is_ours}
    return {"name": name, "stream": write_bytes(stream.id), "anchored": anchored}


def _stream(name: str) -> Stream:
    if name not in NAMES:
        raise InvalidInput(
            "stream.unknown", f"there is no stream {name[:40]}", do=f"one of {', '.join(NAMES)}"
        )
    return NAMES[name]


def _file(document: Json) -> Response:
    return Response(canonical_json(document), media_type="application/json")
