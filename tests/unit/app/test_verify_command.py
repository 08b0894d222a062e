import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evmesh.app.verify import app
from evmesh.domain.canonical import canonical_json
from evmesh.verify.receipt import CHECKS
from tests.unit.verify.followup_factory import make_reward, make_settlement
from tests.unit.verify.receipt_factory import THIEF, make_plan, make_receipt, make_trust, resign
from tests.unit.verify.test_returns import word

RECEIPT = make_receipt()
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = make_plan(RECEIPT.request)[1]
    for name, content in {
        "receipt.json": RECEIPT.encode(),
        "forged.json": resign(RECEIPT, THIEF).encode(),
        "trust.json": canonical_json(make_trust().to_json()),
        "problem.json": files.problem,
        "schedule.json": files.schedule,
        "settlement.json": make_settlement(RECEIPT).encode(),
        "reward.json": make_reward(RECEIPT).encode(),
        "return.json": word().encode(),
        "so-far.json": b'{"day": "2026-03-01", "final": false,\n "rewards": [1.5]}\n',
        "number.json": b'{"format": 1}',
        "list.json": b"[]",
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(folder: Path, *arguments: str, stdin: bytes | None = None) -> Result:
    names = [str(folder / word) if word.endswith(".json") else word for word in arguments]
    return CliRunner().invoke(app, names, input=stdin)


def test_a_true_receipt_exits_0_and_prints_a_line_for_each_check(folder: Path) -> None:
    result = run(folder, "receipt", "receipt.json")
    assert result.exit_code == 0
    assert "ok          energy: 8000 Wh" in result.output
    assert "not checked registry, registered price, registered meter, power, anchor, settlement: no node" in (
        result.output
    )
    assert result.output.endswith("nothing in this receipt is false; 12 checks could not be made\n")


def test_a_program_that_wants_everything_checked_is_told_that_it_was_not(folder: Path) -> None:
    words = run(folder, "receipt", "receipt.json", "--strict")
    assert words.exit_code == 3
    assert "error verify.not_checked: 12 checks could not be made: " in words.output
    done = run(folder, "receipt", "receipt.json", "--strict", "--json")
    answer = json.loads(done.output)
    assert (done.exit_code, answer["ok"], answer["code"]) == (3, False, "verify.not_checked")
    assert "registered price" in answer["what"]
    assert {check["status"] for check in answer["checks"]} == {"ok", "not_checked"}
    forged = run(folder, "receipt", "forged.json", "--strict", "--json")  # worse is said first
    assert (forged.exit_code, json.loads(forged.output)["ok"]) == (6, False)
    away = run(folder, "receipt", "receipt.json", "--strict", "--rpc", NOBODY, "--json")
    assert (away.exit_code, json.loads(away.output)["code"]) == (4, "chain.away")
    for followup in ("settlement", "reward"):
        assert run(folder, followup, f"{followup}.json", "--strict").exit_code == 3


def test_what_cannot_be_read_is_said_once(folder: Path) -> None:
    stdin = b'{"format":"evmesh.receipt/1"}'
    result = run(folder, "receipt", "-", stdin=stdin)
    assert result.exit_code == 6
    assert result.output.splitlines() == [
        f"ok          canonical form: {len(stdin)} bytes of canonical JSON",
        "FAILED      shape: the key 'session' is missing (document.missing_key at session)",
        f"not checked the other {len(CHECKS)} checks: the receipt cannot be read",
        "this receipt is FALSE: shape",
    ]
    lines = run(folder, "receipt", "-", stdin=b"[").output.splitlines()
    assert [line[:11] for line in lines] == ["FAILED     ", "not checked", "this receip"]


def test_a_forged_receipt_exits_6_and_names_what_failed(folder: Path) -> None:
    result = run(folder, "receipt", "forged.json")
    assert result.exit_code == 6
    assert "FAILED      payee signature" in result.output
    assert "(signature.other_signer at signature)" in result.output
    assert result.output.endswith("this receipt is FALSE: payee signature\n")


def test_json_is_one_object_with_all_checks(folder: Path) -> None:
    for name, ok in (("receipt.json", True), ("forged.json", False)):
        answer = json.loads(run(folder, "receipt", name, "--json").stdout)
        assert answer["ok"] is ok
        assert {tuple(check) for check in answer["checks"]} == {("name", "status", "code", "path", "what")}
        assert len(answer["checks"]) == len(CHECKS) + 2


def test_a_receipt_comes_from_stdin(folder: Path) -> None:
    assert run(folder, "receipt", "-", stdin=RECEIPT.encode()).exit_code == 0
    assert run(folder, "receipt", "-", stdin=RECEIPT.encode()[:-1]).exit_code == 6


def test_the_trust_file_is_used(folder: Path) -> None:
    assert (
        "ok          trusted meter" in run(folder, "receipt", "receipt.json", "--trust", "trust.json").output
    )
    other = make_trust().to_json() | {"payees": [THIEF.address.text]}
    (folder / "other.json").write_bytes(canonical_json(other))
    result = run(folder, "receipt", "receipt.json", "--trust", "other.json")
    assert result.exit_code == 6
    assert "trust.unknown_payee" in result.output


def test_the_plan_files_are_used(folder: Path) -> None:
    plan = ("--problem", "problem.json", "--schedule", "schedule.json")
    assert "ok          plan optimality" in run(folder, "receipt", "receipt.json", *plan).output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("receipt", "none.json"), 2, "file.unreadable"),
        (("receipt", "receipt.json", "--trust", "none.json"), 2, "file.unreadable"),
        (("receipt", "receipt.json", "--trust", "receipt.json"), 2, "document.bad_value"),
        (("receipt", "receipt.json", "--problem", "problem.json"), 2, "verify.half_a_plan"),
        (("receipt", "-", "--trust", "-"), 2, "file.stdin_twice"),
        (("receipt", "receipt.json", "--rpc", NOBODY), 4, "chain.away"),
        (("settlement", "settlement.json", "--receipt", "receipt.json", "--rpc", NOBODY), 4, "chain.away"),
        (("return", "return.json", "--trust", "trust.json", "--rpc", NOBODY), 4, "chain.away"),
        (("return", "settlement.json"), 2, "document.other_format"),
        (("settlement", "receipt.json"), 2, "document.other_format"),
        (("settlement", "settlement.json", "--receipt", "reward.json"), 2, "document.other_format"),
        (("reward", "so-far.json"), 2, "document.other_format"),
        (("reward", "number.json"), 2, "document.other_format"),
        (("receipt", "list.json"), 2, "document.other_format"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error_of_its_own_class(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == code
    assert words in result.output
    as_json = run(folder, *arguments, "--json")
    assert json.loads(as_json.stdout)["code"] == words


def test_a_receipt_that_cannot_be_read_is_false_even_where_the_node_is_away(folder: Path) -> None:
    assert run(folder, "receipt", "-", "--rpc", NOBODY, stdin=b"{").exit_code == 6


@pytest.mark.parametrize("kind", ["receipt", "settlement"])
def test_a_node_that_is_away_stops_no_check_that_needs_none(folder: Path, kind: str) -> None:
    offline = run(folder, kind, f"{kind}.json").output.splitlines()
    result = run(folder, kind, f"{kind}.json", "--rpc", NOBODY)
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("ok")] == [
        line for line in offline if line.startswith("ok")
    ]
    assert not any("no node was asked" in line for line in lines)
    assert any(NOBODY in line for line in lines if line.startswith("not checked"))
    assert "chain.away" in result.stderr
    answer = json.loads(run(folder, kind, f"{kind}.json", "--rpc", NOBODY, "--json").stdout)
    assert (answer["ok"], answer["code"]) == (False, "chain.away")
    assert {"ok", "not_checked"} == {check["status"] for check in answer["checks"]}


def test_what_is_false_is_said_before_that_the_node_is_away(folder: Path) -> None:
    result = run(folder, "receipt", "forged.json", "--rpc", NOBODY)
    assert (result.exit_code, result.output.splitlines()[-1]) == (6, "this receipt is FALSE: payee signature")
    answer = json.loads(run(folder, "receipt", "forged.json", "--rpc", NOBODY, "--json").stdout)
    assert (answer["ok"], "code" in answer) == (False, False)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n\n"])
def test_a_newline_at_the_end_is_said_in_words(folder: Path, line_end: bytes) -> None:
    for kind, check in (("receipt", "canonical form"), ("settlement", "form"), ("reward", "form")):
        result = run(folder, kind, "-", stdin=(folder / f"{kind}.json").read_bytes() + line_end)
        assert result.exit_code == 6
        first = result.output.splitlines()[0]
        assert first.startswith(f"FAILED      {check}: there is a newline at the end")
    spaced = run(folder, "receipt", "-", stdin=RECEIPT.encode() + b" ")
    assert "newline" not in spaced.output


def test_another_document_is_named_and_not_called_false(folder: Path) -> None:
    found = run(folder, "reward", "so-far.json").output
    assert "this is not an evmesh.reward/1 document: it names no format" in found
    assert "FALSE" not in found


UNCHECKED = {
    "settlement": ["not checked transactions: no node was asked"],
    "reward": [
        "not checked voucher: the FLEX voucher was not given",
        "not checked made: no node was asked",
    ],
}


def test_settlement_and_reward_are_checked_beside_their_receipt(folder: Path) -> None:
    for kind in ("settlement", "reward"):
        beside = run(folder, kind, f"{kind}.json", "--receipt", "receipt.json", "--trust", "trust.json")
        assert beside.exit_code == 0
        unchecked = [line for line in beside.output.splitlines() if line.startswith("not checked")]
        assert unchecked == UNCHECKED[kind]
        assert run(folder, kind, f"{kind}.json", "--receipt", "forged.json").exit_code == 6
        assert run(folder, kind, "receipt.json").exit_code == 2


def test_the_word_that_a_transfer_goes_back_is_checked_and_told_what_a_node_could_add(folder: Path) -> None:
    result = run(folder, "return", "return.json", "--trust", "trust.json")
    assert result.exit_code == 0, result.output
    assert "ok          amounts: 5000000 of 5100000 go back" in result.output
    assert "not checked terms, transfers, return: no node was asked" in result.output
    assert run(folder, "return", "return.json", "--strict").exit_code == 3
