"""However malformed a command line and its files are, a command ends with a sentence and an exit code."""

import json
import os
import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from evmesh.app.main import app
from evmesh.domain.canonical import canonical_json
from tests.unit.verify.followup_factory import make_reward, make_settlement
from tests.unit.verify.receipt_factory import make_plan, make_receipt, make_trust

ROUNDS = int(os.environ.get("EVMESH_TEST_MALFORMED_ROUNDS", "1"))
"""Each round has 70 mutations of its own; the suite needs one."""

EXAMPLES = Path(__file__).parents[3] / "examples"
EXITS = {0, 2, 3, 4, 5, 6}
NOBODY = "http://127.0.0.1:1"

_receipt = make_receipt()
_plan = make_plan(_receipt.request)[1]
GOOD: Final[dict[str, bytes]] = {
    "problem": _plan.problem,
    "schedule": _plan.schedule,
    "receipt": _receipt.encode(),
    "trust": canonical_json(make_trust().to_json()),
    "settlement": make_settlement(_receipt).encode(),
    "reward": make_reward(_receipt).encode(),
    "contracts": json.dumps(
        {"format": "evmesh.contracts/1", "chain_id": 1, "contracts": {}, "block": 0, "deployer": "0x"}
    ).encode(),
    "pid": b'{"pid": 1, "started": "x", "port": 1}',
    "site": (EXAMPLES / "demo.toml").read_bytes(),
    "prices": (EXAMPLES / "prices.csv").read_bytes()[:600],
    "sessions": (EXAMPLES / "demo-sessions.csv").read_bytes(),
}
ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 0.5, 1e400, 2**31, 2**64, 10**400, [], [[]], {}, {"": {}}, [None] * 3),
    *("", "0x", "0", "-1", "\ud800", "\0", "é" * 70, "a" * 5000, "0x" + "f" * 64),
    *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z"),
]
BLOBS: Final[list[bytes]] = [
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"1",
        b'"x"',
        b"{",
        b"NaN",
        b"\xef\xbb\xbf{}",
        b"\r\n" * 9,
    ),
    *(b"[" * 90_000, b'{"a":' * 90_000, b"9" * 9_000, b"PK\x03\x04" * 99, b'{"a":1,"a":2}'),
    *(b'{"format":"evmesh.problem/1"}', b'{"format":"evmesh.receipt/1"}'),
]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Change one thing: a byte, the length, or a value deep inside."""
    kind = chance.randrange(6)
    if kind == 0:
        at = chance.randrange(len(raw))
        return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
    if kind == 1:
        return raw[: chance.randrange(len(raw))]
    try:
        document = json.loads(raw)
    except ValueError:
        at = chance.randrange(len(raw))
        return (
            raw[:at]
            + chance.choice([b"\n", b",", b"=", b"[", b'"', b"-1", b"9" * 50, b"1e99", b"\xc3"])
            + raw[at + 2 :]
        )
    holder, key = chance.choice(list(places(document)))
    if kind == 2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = chance.choice(ODD)
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")


def places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(value, key), *places(value[key])]]


def commands(folder: Path) -> dict[str, list[list[str]]]:
    """Give the commands that read each file."""
    at = {name: str(folder / name) for name in GOOD}
    plan = ["--problem", at["problem"], "--schedule", at["schedule"]]
    receipt = ["verify", "receipt", at["receipt"]]
    up = ["up", "--site", at["site"], "--data", "/dev/null/never", "--port", "0", "--ocpp-port", "0"]
    status = ["chain", "status", "--data", str(folder / "data")]
    return {
        "problem": [
            ["plan", "solve", at["problem"]],
            ["plan", "verify", at["problem"], at["schedule"]],
            receipt + plan,
        ],
        "schedule": [["plan", "verify", at["problem"], at["schedule"]], receipt + plan],
        "receipt": [
            receipt,
            [*receipt, "--rpc", NOBODY],
            ["verify", "settlement", at["settlement"], "--receipt", at["receipt"]],
        ],
        "trust": [[*receipt, "--trust", at["trust"]]],
        "settlement": [["verify", "settlement", at["settlement"], "--receipt", at["receipt"]]],
        "reward": [["verify", "reward", at["reward"], "--receipt", at["receipt"], "--trust", at["trust"]]],
        "contracts": [[*status, "--rpc", NOBODY]],
        "pid": [status],
        "site": [up],
        "prices": [up],
        "sessions": [up],
    }


def lay_out(folder: Path, broken: str, content: bytes) -> None:
    (folder / "data" / "chain").mkdir(parents=True, exist_ok=True)
    for name, raw in (GOOD | {broken: content}).items():
        (folder / name).write_bytes(raw)
        if name in ("contracts", "pid"):
            place = "contracts.json" if name == "contracts" else "chain/anvil.pid"
            (folder / "data" / place).write_bytes(raw)
    if broken != "site":
        text = (
            GOOD["site"]
            .decode()
            .replace('"prices.csv"', '"prices"')
            .replace('"demo-sessions.csv"', '"sessions"')
        )
        (folder / "site").write_text(text)


def check(result: Result, arguments: list[str], about: object) -> None:
    """It said something, ended with a code of ours, and no traceback."""
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        arguments,
        about,
        result.exception,
    )
    assert result.exit_code in EXITS, (arguments, about, result.output)
    assert "Traceback" not in result.output
    if result.exit_code not in (0, 6):
        assert result.output.strip(), (arguments, about)
    if "--json" in arguments and not result.stderr:
        assert isinstance(json.loads(result.stdout), dict)


def run_all(folder: Path, broken: str, content: bytes, as_json: bool) -> int:
    lay_out(folder, broken, content)
    for arguments in commands(folder)[broken]:
        words = (
            [*arguments, "--json"]
            if as_json and arguments[0] != "up" and arguments[1] != "solve"
            else arguments
        )
        check(CliRunner().invoke(app, words), words, content[:200])
    return len(commands(folder)[broken])


@pytest.mark.parametrize("name", GOOD)
def test_a_file_of_something_else_is_refused_in_words(tmp_path: Path, name: str) -> None:
    for number, blob in enumerate(BLOBS):
        run_all(tmp_path, name, blob, number % 2 == 0)


def test_a_file_with_one_thing_changed_is_refused_in_words_or_taken(tmp_path: Path) -> None:
    chance = random.Random(20260601)
    names = list(GOOD)
    for number in range(70 * ROUNDS):
        name = names[number % len(names)]
        run_all(tmp_path, name, mutated(GOOD[name], chance), chance.random() < 0.5)


WORDS: Final = """
nonsense
--nonsense
--version up
plan
plan solve
plan solve ''
plan solve STRAY
plan solve /
plan solve /dev/null
plan solve LONG
plan solve PROBLEM -o ''
plan solve PROBLEM -o /
plan solve PROBLEM -o /dev/full
plan solve PROBLEM -o /proc/x
plan solve PROBLEM -o /dev/null/x
plan solve PROBLEM -o LONG
plan solve PROBLEM --candidate ''
plan solve PROBLEM --candidate STRAY
plan verify - -
plan verify PROBLEM PROBLEM
plan verify SCHEDULE PROBLEM --json
verify receipt PROBLEM
verify receipt -
verify receipt RECEIPT --rpc ''
verify receipt RECEIPT --rpc http://[
verify receipt RECEIPT --rpc http://127.0.0.1:99999
verify receipt RECEIPT --rpc STRAY
verify receipt RECEIPT --problem PROBLEM
verify receipt RECEIPT --trust RECEIPT
verify settlement RECEIPT
verify reward RECEIPT --trust - --receipt -
chain status --data /dev/null
chain status --data ''
chain status --rpc x --data /nowhere
chain deploy --rpc x --data DATA
chain deploy --rpc NOBODY --data /dev/null
chain deploy --rpc NOBODY --data DATA --token 0x
chain deploy --rpc NOBODY --data DATA --window 1
chain deploy
chain run --data /dev/null
chain run --data /proc/x
chain run --port -1
chain run --chain-id 0
chain run --chain-id 1000000000000000000000000000000
up --port http
up --port 70000
up --speed 0
up --speed 1e3
up --site /
up --site ''
up --data PROBLEM
up --data /proc/x
up --data DATA --port 7000 --ocpp-port 7000
demo --out PROBLEM
demo --out /proc/x
demo --out PROBLEM --json
serve-platform --data DATA
serve-sim --data /dev/null
"""


@pytest.mark.parametrize("line", ["", *WORDS.strip().splitlines()])
def test_a_malformed_command_line_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, "site", GOOD["site"])
    names = {word: str(tmp_path / word.lower()) for word in ("PROBLEM", "SCHEDULE", "RECEIPT", "DATA")}
    names |= {"NOBODY": NOBODY, "STRAY": "\udc80", "LONG": "x" * 5000}
    words = [names.get(word, word) for word in shlex.split(line)]
    check(CliRunner().invoke(app, words, input=b"\xff"), words, "")


EVMESH = f"{sys.executable} -m evmesh.app.main"


@pytest.mark.parametrize(
    ("shell", "codes"),
    [
        (f"{EVMESH} plan solve {EXAMPLES}/problems/two-cars.json > /dev/full", {4}),
        (f"{EVMESH} plan verify --json /dev/null /dev/null > /dev/full", {2, 4, 6}),
        (f"{EVMESH} plan solve {EXAMPLES}/problems/two-cars.json >&-", {4}),
        (f"{EVMESH} plan solve - <&-", {2}),
        (f"{EVMESH} plan solve nothing 2>&-", {2}),
        (f"PYTHONIOENCODING=ascii {EVMESH} plan solve {EXAMPLES}/problems/two-cars.json -o /dev/null", {0}),
    ],
)  # fmt: skip
def test_an_output_that_takes_nothing_is_no_traceback(shell: str, codes: set[int]) -> None:
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode in codes, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert ended.returncode in (0, 2) or ended.stderr.startswith("error ")
