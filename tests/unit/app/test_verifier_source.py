"""Which verifier this is: one hash for the same source, another for any other."""

import json
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import evmesh.verify
from evmesh.app.verifier_source import this_algorithm, verifier_sha256, wheel_sha256


def test_the_hash_is_over_names_and_bytes_in_order(tmp_path: Path) -> None:
    for name, text in (("b.py", "two\n"), ("a.py", "one\n"), ("a.txt", "not source")):
        (tmp_path / name).write_text(text)
    expected = b"a.py\0" + bytes(7) + b"\x04one\n" + b"b.py\0" + bytes(7) + b"\x04two\n"
    assert verifier_sha256(tmp_path) == sha256(expected).digest()
    (tmp_path / "b.py").write_text("too\n")
    assert verifier_sha256(tmp_path) != sha256(expected).digest()


def test_this_verifier_is_that_of_the_package() -> None:
    folder = Path(evmesh.verify.__file__).parent
    assert verifier_sha256() == verifier_sha256(folder)
    assert this_algorithm().verifier_sha256 == verifier_sha256()
    assert this_algorithm().version == metadata.version("evmesh")


@pytest.mark.parametrize(
    ("noted", "found"),
    [
        (None, None),
        ("", None),
        ("no json", None),
        ("[]", None),
        ('{"archive_info": {}}', None),
        ('{"archive_info": {"hashes": {"sha256": "zz"}}}', None),
        (json.dumps({"archive_info": {"hashes": {"sha256": "ab" * 32}}}), b"\xab" * 32),
        (json.dumps({"archive_info": {"hash": "sha256=" + "cd" * 32}}), b"\xcd" * 32),
        (json.dumps({"dir_info": {"editable": True}, "url": "file:///src"}), None),
    ],
)
def test_the_wheel_is_named_where_the_installer_noted_it(
    noted: str | None, found: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return noted if name == "direct_url.json" else None

    def installed(_: str) -> Any:
        return Installed()

    monkeypatch.setattr(metadata, "distribution", installed)
    assert wheel_sha256() == found
