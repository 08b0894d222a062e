"""`evmesh verify`: check a receipt, a settlement, a reward or a meter's records, from files and a node."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

import typer

from evmesh.app.deposit_facts import read_return_facts
from evmesh.app.errors import exit_on_error
from evmesh.app.files import read_input, read_optional, require_one_stdin
from evmesh.app.foreign_node import foreign_node
from evmesh.app.receipt_facts import read_chain_facts, read_flex_facts, read_settlement_facts
from evmesh.app.records import proof_facts, record_command, records_command
from evmesh.app.verdict import Strict, read_document, report_lines, show, unchecked
from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, ProtocolViolation, Unavailable
from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.ocmf_signature import MAX_KEY_BYTES, parse_public_key
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.trust import Trust
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.case import PlanCommitment, PlanFiles, ShortfallFiles
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.ocmf import OcmfReport, verify_ocmf
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from evmesh.verify.returns import verify_return

app = typer.Typer(name="verify", help="Check what evmesh claims, without trusting it.", no_args_is_help=True)

D = TypeVar("D", Receipt, Settlement, TransferReturn, Reward)
F = TypeVar("F")
_HEX_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){48,}")
"""A point of the smallest curve has 49 bytes, so that no name of a file is taken for a key."""

TrustFile = Annotated[
    str | None, typer.Option("--trust", metavar="FILE", help="an evmesh.trust/1 file: whose keys are known")
]
ReceiptFile = Annotated[
    str | None, typer.Option("--receipt", metavar="FILE", help="the evmesh.receipt/1 file that it names")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


app.command("records")(records_command)
app.command("record")(record_command)


@app.command("receipt")
def receipt_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.receipt/1 file; - is stdin")],
    trust: TrustFile = None,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask for owner, anchor and settlement")
    ] = None,
    problem: Annotated[
        str | None, typer.Option(metavar="FILE", help="the group's evmesh.problem/1 file")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="FILE", help="the group's evmesh.schedule/1 file")
    ] = None,
    plan_proof: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="an evmesh.stream-proof/1 file: that the plan was committed to"),
    ] = None,
    shortfall: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="problem, schedule, wanted, shortfall .json of what a cap took"),
    ] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check a receipt: exit 0 if nothing is false, 6 if something is. What was not checked is said."""
    with exit_on_error(json_output):
        require_one_stdin(file, trust, problem, schedule, plan_proof)
        raw, known = read_document(file, Receipt.FORMAT), _trust(trust)
        plan = _plan_files(problem, schedule)
        asked = _ask(rpc, raw, Receipt.parse, read_chain_facts)
        commitment = _commitment(plan_proof, None if asked.failure else rpc)
        meters = EcdsaMeterSignatures()
        short = _shortfall_files(shortfall)
        report = verify_receipt(
            raw, EthereumSignatures(), known, plan, asked.facts, commitment, meters, short
        )
        show(report, "receipt", json_output, asked.failure, strict=strict)


@app.command("settlement")
def settlement_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.settlement/1 file; - is stdin")],
    receipt: ReceiptFile = None,
    trust: TrustFile = None,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask for the transactions that it names")
    ] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check the settlement of a receipt: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, receipt, trust)
        raw, receipt_raw, known = _followup(file, Settlement.FORMAT, receipt, trust)
        asked = _ask(rpc, raw, Settlement.parse, read_settlement_facts)
        report = verify_settlement(raw, EthereumSignatures(), receipt_raw, known, asked.facts)
        show(report, "settlement", json_output, asked.failure, strict=strict)


@app.command("return")
def return_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.return/1 file; - is stdin")],
    trust: TrustFile = None,
    rpc: Annotated[str | None, typer.Option(metavar="URL", help="a node to ask whether it went back")] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check the word that a transfer goes back: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, trust)
        raw, known = read_document(file, TransferReturn.FORMAT), _trust(trust)
        asked = _ask(rpc, raw, TransferReturn.parse, read_return_facts)
        report = verify_return(raw, EthereumSignatures(), known, asked.facts)
        show(report, "return", json_output, asked.failure, strict=strict)


@app.command("reward")
def reward_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.reward/1 file; - is stdin")],
    receipt: ReceiptFile = None,
    voucher: Annotated[
        str | None, typer.Option(metavar="FILE", help="the evmesh.flex-voucher/1 file that pays it")
    ] = None,
    trust: TrustFile = None,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask whether the FLEX was made")
    ] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check the reward for a receipt's flexibility: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, receipt, voucher, trust)
        raw, receipt_raw, known = _followup(file, Reward.FORMAT, receipt, trust)
        voucher_raw = None if voucher is None else read_document(voucher, SignedFlexVoucher.FORMAT)
        asked = _ask(rpc, raw, Reward.parse, read_flex_facts)
        report = verify_reward(raw, EthereumSignatures(), receipt_raw, known, voucher_raw, asked.facts)
        show(report, "reward", json_output, asked.failure, strict=strict)


@app.command("ocmf")
def ocmf_command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="the OCMF records of one charge, in order; - is stdin"),
    ],
    key: Annotated[
        str | None, typer.Option(metavar="HEX|FILE", help="the meter's public key (hex, base64, PEM, DER)")
    ] = None,
    strict: Strict = False,
    json_output: AsJson = False,
) -> None:
    """Check what a meter signed, and apart from that whether it makes sense: exit 0 if nothing is false."""
    with exit_on_error(json_output):
        require_one_stdin(*files, key)
        raws, public_key = [read_input(file) for file in files], _public_key(key)
        found = verify_ocmf(raws, public_key, EcdsaMeterSignatures())
        left = unchecked(found.report) if strict else None
        if json_output:
            typer.echo(ocmf_json(found, left))
        else:
            for line in (*report_lines(found.report), *_two_answers(found)):
                typer.echo(line)
        if not found.report.ok:
            raise typer.Exit(IntegrityFailure.exit_code)
        if left is not None:
            if not json_output:
                typer.echo(left.describe(), err=True)
            raise typer.Exit(left.exit_code)


def ocmf_json(found: OcmfReport, left: EvmeshError | None = None) -> str:
    """Give both answers on a meter's records as the one object that `--json` prints.

    `left` is why they are not enough, where nothing worse is to be said.
    """
    answers = {"signature": found.signed.value, "plausible": found.plausible.value}
    checks = [check.to_json() for check in found.report.checks]
    energy = {"energy_mwh": None if found.energy is None else str(found.energy)}
    said: dict[str, object] = {"ok": found.report.ok}
    if left is not None and found.report.ok:
        said = {"ok": False, "code": left.code, "what": left.what, "do": left.do, "path": left.path}
    return json.dumps({**said, **answers, **energy, "checks": checks}, ensure_ascii=False)


def _two_answers(found: OcmfReport) -> tuple[str, ...]:
    if any(check.status is Status.FAILED for check in found.form):
        return ("this is NOT a record that can be read",)
    signed = {Status.OK: "is true", Status.FAILED: "is FALSE", Status.NOT_CHECKED: "was not checked"}
    plausible = {
        Status.OK: f"plausible: {found.energy} mWh",
        Status.FAILED: "NOT plausible",
        Status.NOT_CHECKED: "not a whole charge, and were checked as far as they go",
    }
    return f"the signature {signed[found.signed]}", f"the readings are {plausible[found.plausible]}"


def _public_key(given: str | None) -> bytes | None:
    """Read a meter's key: hexadecimal on the command line, else the name of a file."""
    if given is None:
        return None
    if _HEX_KEY.fullmatch(given):
        return parse_public_key(given.encode())
    return parse_public_key(read_input(given, MAX_KEY_BYTES))


def _trust(name: str | None) -> Trust | None:
    raw = read_optional(name)
    return None if raw is None else Trust.parse(raw)


def _shortfall_files(directory: str | None) -> ShortfallFiles | None:
    """Read the four files by the names under which the API has them."""
    if directory is None:
        return None
    names = ("problem", "schedule", "wanted", "shortfall")
    return ShortfallFiles(*(read_input(str(Path(directory) / f"{name}.json")) for name in names))


def _plan_files(problem: str | None, schedule: str | None) -> PlanFiles | None:
    problem_raw, schedule_raw = read_optional(problem), read_optional(schedule)
    if problem_raw is not None and schedule_raw is not None:
        return PlanFiles(problem_raw, schedule_raw)
    if problem_raw is None and schedule_raw is None:
        return None
    raise InvalidInput("verify.half_a_plan", "a plan is two files", do="give --problem and --schedule")


def _commitment(name: str | None, rpc: str | None) -> PlanCommitment | None:
    """Read the proof of a plan's commitment, and what the node says on it."""
    if name is None:
        return None
    raw = read_document(name, StreamProof.FORMAT)
    facts, _ = proof_facts(rpc, raw)
    return PlanCommitment(raw, facts)


def _followup(
    name: str, format: str, receipt: str | None, trust: str | None
) -> tuple[bytes, bytes | None, Trust | None]:
    """Read a document that follows a receipt, the receipt, and whom to trust."""
    raw = read_document(name, format)
    receipt_raw = None if receipt is None else read_document(receipt, Receipt.FORMAT)
    return raw, receipt_raw, _trust(trust)


@dataclass(frozen=True, slots=True)
class _Asked(Generic[F]):
    """What a node said; None where none was asked or it gave no answer, which `failure` tells."""

    facts: F | None = None
    failure: EvmeshError | None = None


def _ask(
    url: str | None,
    raw: bytes,
    parse: Callable[[bytes], D],
    read: Callable[[str, D], Coroutine[Any, Any, F]],
) -> _Asked[F]:
    if url is None:
        return _Asked()
    try:
        document = parse(raw)
    except EvmeshError:
        return _Asked()  # the report says why it cannot be read
    try:
        foreign = asyncio.run(foreign_node(url, document.chain))
        if foreign is not None:
            return _Asked(failure=foreign)
        return _Asked(asyncio.run(read(url, document)))
    except (Unavailable, ProtocolViolation) as failure:
        return _Asked(failure=failure)
