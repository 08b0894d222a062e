"""Lists, records and plan commitments: what is true passes, each lie is told by its own check."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.merkle import EMPTY_ROOT, MerkleLog
from evmesh.domain.session_record import Record
from evmesh.domain.trust import Trust
from evmesh.verify.case import PlanFiles
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.records import verify_list, verify_record
from evmesh.verify.report import Check, Report, Status
from evmesh.verify.stream_plan import plan_checks
from evmesh.verify.streams import HeadOnChain, StreamFacts, roots_at
from tests.unit.verify.commitment_factory import (
    VERIFIER,
    anchored,
    file_of,
    leaves_of,
    make_commitment,
    make_list,
    make_plan_statements,
    make_proof,
    make_session_record,
    prove,
)
from tests.unit.verify.receipt_factory import (
    CHAIN,
    NOTARY,
    SIGNATURES,
    START,
    THIEF,
    make_plan,
    make_receipt,
    make_request,
    make_trust,
    resign,
)

TRUST = make_trust()
PAYLOADS = [b'{"n":%d}' % number for number in range(11)]


def told(report: Report) -> dict[str, str]:
    """Give what is not ok: its code, or not_checked."""
    return {
        check.name: check.code or check.status for check in report.checks if check.status is not Status.OK
    }


def on_chain(*sizes: int, payloads: list[bytes] = PAYLOADS, logs: bool = True) -> StreamFacts:
    """The chain has the heads of a list of records at these sizes, the last one being the newest."""
    log = MerkleLog(leaves_of(Stream.RECORDS, payloads))
    heads = tuple(HeadOnChain(size, log.root(size)) for size in sizes)
    newest = {Stream.RECORDS: heads[-1]} if heads else {}
    return StreamFacts(CHAIN.chain_id, True, newest, {Stream.RECORDS: heads if logs else None})


def logs_of(facts: StreamFacts) -> tuple[HeadOnChain, ...]:
    found = (facts.logs or {})[Stream.RECORDS]
    assert found is not None
    return found


# The whole list.


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70))
def test_roots_are_those_of_the_log(hashes: list[bytes]) -> None:
    log, sizes = MerkleLog(hashes), range(1, len(hashes) + 1)
    assert roots_at(hashes, sizes) == {size: log.root(size) for size in sizes}


def test_a_whole_list_under_its_heads_is_complete_and_never_rewritten() -> None:
    raw = file_of(make_list(Stream.RECORDS, PAYLOADS))
    assert told(verify_list(raw, TRUST, on_chain(2, 7, 11))) == {}
    assert told(verify_list(raw, TRUST, on_chain(2, 7))) == {"all anchored": "not_checked"}
    assert told(verify_list(raw, None, on_chain(11, logs=False))) == {
        "trusted publisher": "not_checked",
        "earlier heads": "not_checked",
    }
    pruned = replace(on_chain(11), logs={Stream.RECORDS: ()})
    assert told(verify_list(raw, TRUST, pruned)) == {"earlier heads": "not_checked"}
    offline = verify_list(raw)
    assert {check.name for check in offline.checks if check.status is Status.OK} == {"whole list"}


def test_an_anchor_that_rewrites_history_is_caught() -> None:
    """A record is exchanged after its head was anchored; the newest head fits the new list."""
    rewritten = [*PAYLOADS[:1], b'{"n":"changed"}', *PAYLOADS[2:]]
    honest, forged = on_chain(2, 7), on_chain(11, payloads=rewritten)
    both = (*logs_of(honest), *logs_of(forged))
    facts = replace(forged, logs={Stream.RECORDS: both})
    assert told(verify_list(file_of(make_list(Stream.RECORDS, rewritten)), TRUST, facts)) == {
        "earlier heads": "anchor.rewritten"
    }
    assert told(verify_list(file_of(make_list(Stream.RECORDS, PAYLOADS)), TRUST, facts)) == {
        "newest head": "anchor.other_root",
        "earlier heads": "anchor.rewritten",
    }


@pytest.mark.parametrize(
    "payloads",
    [PAYLOADS[:-1], PAYLOADS[1:], [PAYLOADS[1], PAYLOADS[0], *PAYLOADS[2:]], [PAYLOADS[0], *PAYLOADS]],
    ids=["one left out", "the first left out", "two exchanged", "one put in"],
)
def test_a_list_that_is_not_the_anchored_one_is_false(payloads: list[bytes]) -> None:
    report = verify_list(file_of(make_list(Stream.RECORDS, payloads)), TRUST, on_chain(2, 11))
    assert not report.ok
    assert told(report)["newest head"] in ("list.incomplete", "anchor.other_root")


def test_a_page_is_not_a_list() -> None:
    whole = make_list(Stream.RECORDS, PAYLOADS)
    page = replace(whole, hashes=whole.hashes[:5])
    assert told(verify_list(file_of(page), TRUST)) == {"whole list": "list.incomplete"}
    later = replace(whole, start=1)
    assert told(verify_list(file_of(later), TRUST)) == {"whole list": "list.incomplete"}


def test_heads_of_another_chain_or_of_no_notary_prove_nothing() -> None:
    raw = file_of(make_list(Stream.RECORDS, PAYLOADS))
    other = verify_list(raw, TRUST, replace(on_chain(11), chain_id=1))
    assert set(told(other).values()) == {"chain.other_chain"}
    nobody = verify_list(raw, TRUST, replace(on_chain(11), notary_answers=False))
    assert set(told(nobody).values()) == {"chain.not_the_contract"}
    thief = Trust(TRUST.chain, TRUST.payees, frozenset({THIEF.address}), TRUST.meters)
    assert told(verify_list(raw, thief, on_chain(11))) == {"trusted publisher": "trust.unknown_publisher"}


def test_an_empty_list_is_a_list() -> None:
    report = verify_list(file_of(make_list(Stream.RECORDS, [])), TRUST, on_chain())
    assert report.ok
    assert told(report) == {"newest head": "not_checked", "earlier heads": "not_checked"}
    assert roots_at([], [0]) == {}
    assert EMPTY_ROOT not in roots_at(leaves_of(Stream.RECORDS, PAYLOADS), [1]).values()


# One record.


def proof_of(record: Record, size: int = 0) -> StreamProof:
    payloads = [PAYLOADS[0], record.encode(), *PAYLOADS[2:]]
    return StreamProof(CHAIN, NOTARY.address, (prove(Stream.RECORDS, payloads, [1], size),))


def check_record(proof: StreamProof, **more: Any) -> dict[str, str]:
    given: dict[str, Any] = {
        "receipt_raw": make_receipt().encode(),
        "trust": TRUST,
        "facts": anchored(*proof.streams),
    }
    return told(verify_record(file_of(proof), SIGNATURES, **(given | more)))


def test_a_record_of_both_sides_is_true_beside_its_receipt() -> None:
    assert check_record(proof_of(make_session_record(make_receipt()))) == {}


def test_a_record_without_the_driver_says_so_and_is_not_called_counter_signed() -> None:
    record = make_session_record(make_receipt(), driver=None)
    assert check_record(proof_of(record)) == {"countersignature": "not_checked"}


def test_alone_a_record_is_only_consistent() -> None:
    report = verify_record(file_of(proof_of(make_session_record(make_receipt()))), SIGNATURES)
    assert report.ok
    assert set(told(report)) == {"receipt", "trusted payee", "trusted publisher", "anchor", "history"}


@pytest.mark.parametrize(
    ("made", "check", "code"),
    [
        (
            lambda: make_session_record(make_receipt(), driver=THIEF),
            "countersignature",
            "signature.other_signer",
        ),
        (
            lambda: make_session_record(make_receipt(), operator=THIEF),
            "payee signature",
            "signature.other_signer",
        ),
        (lambda: make_session_record(make_receipt(due=1)), "receipt", "followup.other_receipt"),
    ],
)
def test_a_record_that_somebody_else_made_is_false(made: Callable[[], Record], check: str, code: str) -> None:
    assert check_record(proof_of(made()))[check] == code


def test_a_record_changed_after_it_was_filed_is_in_no_tree() -> None:
    proof = proof_of(make_session_record(make_receipt()))
    document = json.loads(file_of(proof))
    leaf = document["streams"][0]["leaves"][0]
    leaf["payload"] = leaf["payload"].replace('"settled"', '"refunded"')
    found = told(verify_record(canonical_json(document), SIGNATURES, facts=anchored(*proof.streams)))
    assert (found["inclusion"], found["payee signature"]) == ("merkle.other_root", "signature.other_signer")


def test_a_record_of_another_stream_is_none() -> None:
    payloads = [make_session_record(make_receipt()).encode()]
    proof = StreamProof(CHAIN, NOTARY.address, (prove(Stream.SCHEDULES, payloads, [0]),))
    assert told(verify_record(file_of(proof), SIGNATURES))["form"] == "record.not_one"


def test_whether_later_heads_still_hold_a_record_is_shown_by_a_consistency_proof() -> None:
    record = make_session_record(make_receipt())
    payloads = [PAYLOADS[0], record.encode(), *PAYLOADS[2:]]
    log, proof = MerkleLog(leaves_of(Stream.RECORDS, payloads)), proof_of(record, 5)
    facts = on_chain(5, 11, payloads=payloads)
    path = log.consistency_proof(5, 11)
    assert check_record(proof, facts=facts, consistency=path) == {}
    assert check_record(proof, facts=facts) == {"history": "not_checked"}
    rewritten = on_chain(11, payloads=PAYLOADS)
    facts = replace(rewritten, logs={Stream.RECORDS: logs_of(facts)})
    assert check_record(proof, facts=facts, consistency=path) == {"history": "anchor.rewritten"}
    pruned = on_chain(11, payloads=payloads, logs=False)
    assert check_record(proof, facts=pruned, consistency=path) == {"anchor": "not_checked"}


# A plan.

FILES = make_plan(make_request())[1]


def check_plan(proof: StreamProof | None, **more: Any) -> dict[str, str]:
    facts = None if proof is None else anchored(*proof.streams, at=START - timedelta(minutes=4))
    given: dict[str, Any] = {
        "raw": None if proof is None else file_of(proof),
        "problem": FILES.problem,
        "schedule": FILES.schedule,
        "used_from": START,
        "verifier_sha256": VERIFIER,
        "trust": TRUST,
        "facts": facts,
    }
    return told(Report(tuple[Check, ...](plan_checks(**(given | more)))))


def test_a_committed_plan_passes_every_check() -> None:
    assert check_plan(make_proof(FILES)) == {}


def test_without_a_proof_nothing_is_called_ok() -> None:
    assert set(check_plan(None).values()) == {"not_checked"}
    assert len(check_plan(None)) == 8
    offline = check_plan(make_proof(FILES), facts=None)
    assert set(offline) == {"anchored schedule", "anchored algorithm", "committed in time"}
    assert set(offline.values()) == {"not_checked"}


def test_a_plan_without_an_earlier_commitment_is_told() -> None:
    assert check_plan(make_proof(FILES, shown=(3,)))["committed inputs"] == "commitment.none_before"
    assert check_plan(make_proof(FILES, shown=(0, 3, 4)))["committed inputs"] == "commitment.none_before"


def test_a_commitment_that_came_after_the_answer_is_none() -> None:
    statements = make_plan_statements(FILES)
    late = prove(Stream.SCHEDULES, [statements[3], statements[1]], [0, 1])
    proof = replace(make_proof(FILES), streams=(late, make_proof(FILES).streams[1]))
    assert check_plan(proof) == {"committed inputs": "commitment.none_before"}


def test_a_plan_that_was_not_stated_is_told() -> None:
    found = check_plan(make_proof(FILES, shown=(1, 2)))
    assert (found["stated answer"], found["committed inputs"]) == ("commitment.other_plan",) * 2
    assert check_plan(make_proof(FILES), schedule=b"{}")["stated answer"] == "commitment.other_plan"


def test_a_plan_for_another_verifier_is_told() -> None:
    assert check_plan(make_proof(FILES), verifier_sha256=bytes(32)) == {"named verifier": "not_checked"}
    proof = make_proof(FILES)
    other = make_proof(FILES, verifier=bytes(32)).streams[1]
    mixed = replace(proof, streams=(proof.streams[0], other))
    assert check_plan(mixed) == {"published verifier": "verifier.not_published"}
    assert check_plan(replace(proof, streams=proof.streams[:1])) == {
        "published verifier": "commitment.missing",
        "anchored algorithm": "commitment.missing",
    }


def test_a_head_that_is_not_on_chain_or_came_late_is_not_called_in_time() -> None:
    proof = make_proof(FILES)
    late = anchored(*proof.streams, at=START + timedelta(seconds=1))
    assert check_plan(proof, facts=late) == {"committed in time": "not_checked"}
    lying = replace(proof.streams[0], root=bytes(32))
    assert check_plan(proof, facts=anchored(lying, proof.streams[1])) == {
        "anchored schedule": "anchor.other_root",
        "committed in time": "anchor.other_root",
    }
    shorter = replace(proof.streams[0], size=1)
    found = check_plan(proof, facts=anchored(shorter, proof.streams[1]))
    assert found == {"anchored schedule": "not_checked", "committed in time": "not_checked"}


def test_a_proof_that_cannot_be_read_is_false() -> None:
    assert check_plan(None, raw=b"{}")["proof"] == "document.missing_key"
    doubled = json.loads(file_of(make_proof(FILES)))
    doubled["streams"].append(doubled["streams"][0])
    assert check_plan(None, raw=canonical_json(doubled))["proof"] == "document.bad_value"


def test_a_receipt_tells_whether_its_plan_was_committed_to() -> None:
    receipt = make_receipt()
    files: PlanFiles = make_plan(receipt.request)[1]
    commitment = make_commitment(receipt, files)

    def check(**changes: Any) -> tuple[str, str]:
        given = replace(commitment, **changes)
        report = verify_receipt(receipt.encode(), SIGNATURES, commitment=given)
        found = next(one for one in report.checks if one.name == "plan commitment")
        return found.status.value, found.code

    assert check() == ("ok", "")
    assert check(facts=None) == ("not_checked", "")
    proof = StreamProof.parse(commitment.proof)
    other = replace(proof, publisher=THIEF.address)
    assert check(proof=file_of(other)) == ("failed", "commitment.other_publisher")
    assert check(proof=file_of(make_proof(FILES, shown=(0, 2)))) == ("failed", "commitment.other_plan")


def test_a_receipt_whose_plan_begins_after_all_dates_is_still_looked_at() -> None:
    receipt = make_receipt()
    files = make_plan(receipt.request)[1]
    commitment = make_commitment(receipt, files)
    endless = resign(receipt, plan=replace(receipt.plan, first=2**31 - 1, step_s=86_400))
    report = verify_receipt(endless.encode(), SIGNATURES, commitment=commitment)
    assert told(report)["plan row"] == "plan.after_departure"
