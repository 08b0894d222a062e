"""A wallet as `evmesh wallet new` makes it, but for the cost of scrypt, which each command would pay."""

import secrets
from pathlib import Path

from evmesh.domain.ids import Address
from evmesh.ledger.keystore import write_keystore
from evmesh.ledger.signatures import KeySigner


def light_wallet(home: Path, password: str) -> Address:
    """Make it; give the account."""
    secret = secrets.token_bytes(32)
    write_keystore(home / "keystore.json", secret, password, secrets.token_bytes, cost=2**10)
    return KeySigner(secret).address
