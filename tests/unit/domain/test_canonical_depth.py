"""Hostile nesting is refused before the parser recurses, whatever a library did to Python's own limit."""

import subprocess
import sys

import pytest

from evmesh.domain.canonical import MAX_DEPTH, parse_json
from evmesh.domain.errors import InvalidInput


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_the_deepest_allowed_document_is_read() -> None:
    assert parse_json(nested(MAX_DEPTH))


def test_one_level_more_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too_deep"):
        parse_json(nested(MAX_DEPTH + 1))


def test_brackets_inside_strings_are_text() -> None:
    text = '[{"' * MAX_DEPTH
    assert parse_json(b'{"a":"' + text.replace('"', '\\"').encode() + b'"}') == {"a": text}


def test_a_lifted_recursion_limit_does_not_let_a_document_crash_the_process() -> None:
    code = (
        "import sys\n"
        "from evmesh.domain.canonical import parse_json\n"
        "from evmesh.domain.errors import InvalidInput\n"
        "sys.setrecursionlimit(1_000_000)\n"  # what importing eth-account does by way of py_ecc
        "try: parse_json(b'{\"a\":' + b'[' * 200_000)\n"
        "except InvalidInput as error: print(error.code)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "document.too_deep")
