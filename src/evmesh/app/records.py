"""`evmesh verify records` and `evmesh verify record`: the network's own list of transactions, checked."""

import asyncio
from typing import Annotated

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import read_optional, require_one_stdin, write_output
from evmesh.app.foreign_node import foreign_node
from evmesh.app.records_client import RecordsClient
from evmesh.app.records_facts import read_list_facts, read_proof_facts
from evmesh.app.verdict import Strict, read_document, show
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import StreamList, StreamProof
from evmesh.domain.errors import EvmeshError, ProtocolViolation, Refused, Unavailable
from evmesh.domain.receipt import Receipt
from evmesh.domain.trust import Trust
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.records import read_record, verify_list, verify_record
from evmesh.verify.streams import StreamFacts

_STREAMS = {"records": Stream.RECORDS, "schedules": Stream.SCHEDULES, "algorithms": Stream.ALGORITHMS}

TrustFile = Annotated[
    str | None, typer.Option("--trust", metavar="FILE", help="an evmesh.trust/1 file: whose keys are known")
]
Rpc = Annotated[str | None, typer.Option("--rpc", metavar="URL", help="a node to ask for the anchored heads")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


def records_command(
    operator: Annotated[
        str,
        typer.Option("--operator", metavar="URL|FILE", help="whose list, or an evmesh.stream-list/1 file"),
    ],
    rpc: Rpc = None,
    trust: TrustFile = None,
    stream: Annotated[
        str, typer.Option(metavar="NAME", help=f"which list: {', '.join(_STREAMS)}")
    ] = "records",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="keep the list that was read")
    ] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check that an operator's list is complete, and that its past was never rewritten (exit 6 if it was)."""
    with exit_on_error(json_output):
        require_one_stdin(operator, trust)
        known = read_trust(trust)
        raw = (
            asyncio.run(_list_of(operator, _stream(stream)))
            if _is_url(operator)
            else read_document(operator, StreamList.FORMAT)
        )
        if output is not None:
            write_output(output, raw)
        facts, away = _list_facts(rpc, raw)
        show(verify_list(raw, known, facts), "list", json_output, away, strict=strict)


def record_command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="an evmesh.stream-proof/1 file of one record; - is stdin")
    ],
    receipt: Annotated[
        str | None, typer.Option(metavar="FILE", help="the evmesh.receipt/1 file that it names")
    ] = None,
    rpc: Rpc = None,
    operator: Annotated[
        str | None, typer.Option(metavar="URL", help="whom to ask whether later heads still hold the record")
    ] = None,
    trust: TrustFile = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check the record of one session: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, receipt, trust)
        raw, known = read_document(file, StreamProof.FORMAT), read_trust(trust)
        receipt_raw = None if receipt is None else read_document(receipt, Receipt.FORMAT)
        facts, away = proof_facts(rpc, raw)
        consistency, gone = _consistency(operator, raw, facts)
        report = verify_record(raw, EthereumSignatures(), receipt_raw, known, facts, consistency)
        show(report, "record", json_output, away or gone, strict=strict)


def read_trust(name: str | None) -> Trust | None:
    """Give the trust file that was named."""
    raw = read_optional(name)
    return None if raw is None else Trust.parse(raw)


def proof_facts(url: str | None, raw: bytes | None) -> tuple[StreamFacts | None, EvmeshError | None]:
    """Give what a node says on a proof, and why it said nothing."""
    if url is None or raw is None:
        return None, None
    try:
        proof = StreamProof.parse(raw)
    except EvmeshError:
        return None, None  # the report says why it cannot be read
    try:
        foreign = asyncio.run(foreign_node(url, proof.chain))
        return (None, foreign) if foreign else (asyncio.run(read_proof_facts(url, proof)), None)
    except (Unavailable, ProtocolViolation) as failure:
        return None, failure


def fetch_plan_proof(operator: str, schedule_sha256: str) -> tuple[bytes | None, str, EvmeshError | None]:
    """Give an operator's proof of a plan's commitment; or why there is none, and what failed, if anything."""

    async def fetch() -> bytes:
        async with RecordsClient(operator) as client:
            return await client.plan_proof(schedule_sha256)

    try:
        return asyncio.run(fetch()), "", None
    except Refused as refused:
        return None, f"the operator gives no proof: {refused.what}", None
    except (Unavailable, ProtocolViolation) as failure:
        return None, failure.what, failure


def _list_facts(url: str | None, raw: bytes) -> tuple[StreamFacts | None, EvmeshError | None]:
    if url is None:
        return None, None
    try:
        listed = StreamList.parse(raw)
    except EvmeshError:
        return None, None
    try:
        foreign = asyncio.run(foreign_node(url, listed.chain))
        return (None, foreign) if foreign else (asyncio.run(read_list_facts(url, listed)), None)
    except (Unavailable, ProtocolViolation) as failure:
        return None, failure


async def _list_of(url: str, stream: Stream) -> bytes:
    async with RecordsClient(url) as client:
        return canonical_json((await client.whole_list(stream)).to_json())


def _consistency(
    operator: str | None, raw: bytes, facts: StreamFacts | None
) -> tuple[tuple[bytes, ...] | None, EvmeshError | None]:
    """Ask the operator to prove that the newest head extends the proof's; and say what failed."""
    if operator is None or facts is None:
        return None, None
    try:
        _, part, _ = read_record(raw)
    except EvmeshError:
        return None, None
    newest = (facts.newest or {}).get(part.stream)
    if newest is None or newest.size <= part.size:
        return None, None
    try:
        return asyncio.run(_ask(operator, part.size, newest.size)), None
    except (Unavailable, ProtocolViolation) as failure:
        return None, failure


async def _ask(operator: str, first: int, second: int) -> tuple[bytes, ...] | None:
    async with RecordsClient(operator) as client:
        return await client.consistency(Stream.RECORDS, first, second)


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _stream(name: str) -> Stream:
    if name not in _STREAMS:
        raise typer.BadParameter(f"one of {', '.join(_STREAMS)}", param_hint="--stream")
    return _STREAMS[name]
