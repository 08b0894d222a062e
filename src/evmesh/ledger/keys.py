"""The platform's own private keys: `DIR/keys/<name>.key`, hexadecimal, readable by their owner only.

Each name has its own account, so that each has its own row of nonces and one lost key is one role
lost. Drivers' keys are never here.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import EvseId
from evmesh.ledger.signatures import ORDER, KeySigner

_DEPOSIT_LABEL: Final = b"evmesh deposit key 1"


@dataclass(frozen=True, slots=True)
class Keys:
    """The accounts of one platform."""

    operator: KeySigner
    """Is paid: signs offers, receipts, closes; sends claims; owns the assets."""
    relayer: KeySigner
    """Sends what others signed."""
    notary: KeySigner
    """Publishes tree heads."""
    gateway: KeySigner
    """Signs readings of meters that cannot sign."""
    deployer: KeySigner
    """Made the contracts, and mints the development token. Fresh in each data directory, so that a
    development chain that is made anew has other contracts and revives no old signature."""


def open_keys(directory: Path) -> Keys:
    """Load the keys in `directory`, making those that are missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keys(**{name: KeySigner(open_secret(directory / f"{name}.key")) for name in Keys.__slots__})


def open_secret(path: Path) -> bytes:
    """Load a private key, or make one; durable and mode 0600 from its first moment.

    Raises InvalidInput `keys.malformed` or `keys.too_open`.
    """
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise InvalidInput("keys.too_open", f"others can read {path}", do=f"chmod 600 {path}")
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError as error:
        raise _malformed(path) from error
    if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
        raise _malformed(path)
    return secret


def deposit_signer(operator_secret: bytes, evse: EvseId) -> KeySigner:
    """Derive the key of one EVSE's deposit address from the operator's.

    HMAC-SHA-256(operator key, "evmesh deposit key 1" ‖ EVSE id ‖ counter byte) for the first counter
    that gives a valid key. One way: the deposit key does not give the operator's away.
    """
    counter = 0
    while True:
        message = _DEPOSIT_LABEL + evse.text.encode() + bytes([counter])
        secret = hmac.new(operator_secret, message, hashlib.sha256).digest()
        if 0 < int.from_bytes(secret, "big") < ORDER:
            return KeySigner(secret)
        counter += 1  # once in 2^128 tries


def _make(path: Path) -> None:
    secret = 0
    while not 0 < secret < ORDER:
        secret = int.from_bytes(secrets.token_bytes(32), "big")
    # Under a name of its own first, and linked when it is on the disk: a crash leaves no half a key, and of
    # two processes that start at once the second finds the key of the first.
    temporary = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret:064x}\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def _malformed(path: Path) -> InvalidInput:
    return InvalidInput(
        "keys.malformed", f"{path} does not hold a private key", do="restore it from your backup"
    )
