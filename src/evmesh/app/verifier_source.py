"""Which verifier this is: the hash of its source, and of the wheel that it came in, where that is known."""

import json
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import evmesh.verify
from evmesh.domain.commitment import Algorithm


def verifier_sha256(folder: Path | None = None) -> bytes:
    """Hash every `*.py` of `evmesh/verify`, in the order of the files' names.

    Of each file: its name in UTF-8, a zero byte, its length as 8 bytes (big-endian), its bytes.
    """
    folder = folder or Path(evmesh.verify.__file__).parent
    whole = sha256()
    for file in sorted(folder.glob("*.py"), key=lambda one: one.name):
        raw = file.read_bytes()
        whole.update(file.name.encode() + b"\0" + len(raw).to_bytes(8, "big") + raw)
    return whole.digest()


def this_algorithm() -> Algorithm:
    """Give what this installation states of its verifier."""
    return Algorithm(metadata.version("evmesh"), verifier_sha256(), wheel_sha256())


def wheel_sha256() -> bytes | None:
    """Give the hash of the wheel that was installed by its name or address; None where it came otherwise.

    Installers note it in `direct_url.json` (PyPA's direct URL specification).
    """
    noted = metadata.distribution("evmesh").read_text("direct_url.json")
    try:
        archive = json.loads(noted or "{}").get("archive_info", {})
        found = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=")
        return bytes.fromhex(found) or None
    except (AttributeError, TypeError, ValueError):
        return None
