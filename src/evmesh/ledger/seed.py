"""A driver's seed: BIP-39 words, made here and written down by the driver, and the key they stand for.

The key is that of Ethereum's first account, m/44'/60'/0'/0/0 (BIP-32, BIP-44), without a passphrase, so
that any other wallet finds the same account by the same words.
"""

import hashlib
import hmac
import unicodedata
from typing import Final

from coincurve import PrivateKey
from mnemonic import Mnemonic

from evmesh.domain.errors import InvalidInput
from evmesh.ledger.signatures import ORDER
from evmesh.ports import Randomness

PATH: Final = "m/44'/60'/0'/0/0"
ENTROPY_BYTES: Final = 16
"""Gives twelve words."""

_HARDENED: Final = 2**31
_STEPS: Final = (44 + _HARDENED, 60 + _HARDENED, _HARDENED, 0, 0)
_ROUNDS: Final = 2048
_WORDS: Final = Mnemonic("english")


def new_words(random: Randomness) -> str:
    """Give twelve English words that nobody can guess, with BIP-39's check bits."""
    return str(_WORDS.to_mnemonic(random(ENTROPY_BYTES)))


def secret_of(words: str) -> bytes:
    """Give the private key of the first account; raises InvalidInput `seed.malformed`.

    Words may be in any case and with any space between them. What they are is never repeated.
    """
    plain = " ".join(unicodedata.normalize("NFKD", words).lower().split())
    if not _WORDS.check(plain):
        raise InvalidInput(
            "seed.malformed",
            "these are not the words of a seed: one is missing, misspelt or in another place",
            do="type the 12 to 24 English words as they were written down",
        )
    seed = hashlib.pbkdf2_hmac("sha512", plain.encode(), b"mnemonic", _ROUNDS)
    return derive(seed, _STEPS)


def derive(seed: bytes, steps: tuple[int, ...]) -> bytes:
    """Give the private key at a path of BIP-32; a step of 2^31 or more is a hardened one.

    Raises InvalidInput `seed.no_key` for the seeds, one in 2^127, that have no key there.
    """
    left = hmac.new(b"Bitcoin seed", seed, hashlib.sha512).digest()
    secret, chain = int.from_bytes(left[:32], "big"), left[32:]
    _require_key(secret)
    for step in steps:
        key = secret.to_bytes(32, "big")
        parent = b"\0" + key if step >= _HARDENED else PrivateKey(key).public_key.format(compressed=True)
        child = hmac.new(chain, parent + step.to_bytes(4, "big"), hashlib.sha512).digest()
        offset, chain = int.from_bytes(child[:32], "big"), child[32:]
        secret = (secret + offset) % ORDER if offset < ORDER else 0
        _require_key(secret)
    return secret.to_bytes(32, "big")


def _require_key(secret: int) -> None:
    if not 0 < secret < ORDER:
        raise InvalidInput("seed.no_key", "this seed has no account here", do="make another one")
