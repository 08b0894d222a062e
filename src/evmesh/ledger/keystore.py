"""One private key under a password: the Web3 Secret Storage file, version 3, that other wallets read too.

scrypt makes the key, AES-128-CTR hides the secret, Keccak-256 tells a wrong password. Files of other
programs may use PBKDF2 instead; their cost is bounded here, so that no file can take all memory.
"""

import hashlib
import hmac
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from Crypto.Cipher import AES

from evmesh.domain.canonical import parse_json
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address
from evmesh.ledger.signatures import ORDER, KeySigner, keccak256
from evmesh.ports import Randomness

SCRYPT_N: Final = 2**17
SCRYPT_R: Final = 8
_MOST_MEMORY: Final = 2**30
_MOST_ROUNDS: Final = 10_000_000
_KEY_BYTES: Final = 32
_MAX_FILE: Final = 65_536


def write_keystore(
    path: Path, secret: bytes, password: str, random: Randomness, *, cost: int = SCRYPT_N
) -> None:
    """Write a new file, mode 0600 from its first moment and durable; none is ever overwritten.

    `cost` is scrypt's N, a power of two. Raises InvalidInput `wallet.exists`, `wallet.no_password`.
    """
    if not password:
        raise InvalidInput("wallet.no_password", "the password is empty", do="choose one and keep it safe")
    salt, iv = random(32), random(16)
    key = _scrypt(password, salt, cost, SCRYPT_R, 1)
    hidden = _cipher(key, iv).encrypt(secret)
    document = {
        "version": 3,
        "id": str(uuid.UUID(bytes=random(16), version=4)),
        "address": KeySigner(secret).address.text.removeprefix("0x"),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": hidden.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": _KEY_BYTES, "n": cost, "p": 1, "r": SCRYPT_R, "salt": salt.hex()},
            "mac": keccak256(key[16:] + hidden).hex(),
        },
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{random(4).hex()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError as error:
        raise wallet_exists(path) from error
    finally:
        fresh.unlink()


def address_in(path: Path) -> Address:
    """Give the account that a keystore names, without its password; raises as `read_keystore` does."""
    return Address.parse(f"0x{_Sealed.load(path).address.removeprefix('0x')}")


def read_keystore(path: Path, password: str) -> bytes:
    """Give the private key.

    Raises IntegrityFailure `wallet.wrong_password`; InvalidInput `wallet.none`, `wallet.too_open` or
    `wallet.malformed`.
    """
    sealed = _Sealed.load(path)
    key = sealed.key(password)
    if not hmac.compare_digest(keccak256(key[16:32] + sealed.hidden), sealed.mac):
        raise IntegrityFailure("wallet.wrong_password", f"this password does not open {path}")
    secret: bytes = _cipher(key, sealed.iv).decrypt(sealed.hidden)
    if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
        raise _malformed(path, "it holds no key")
    return secret


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What the file says, checked."""

    address: str
    iv: bytes
    hidden: bytes
    mac: bytes
    kdf: str
    parameters: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "_Sealed":
        try:
            if path.stat().st_mode & 0o077:
                raise InvalidInput("wallet.too_open", f"others can read {path}", do=f"chmod 600 {path}")
            with path.open("rb") as file:
                raw = file.read(_MAX_FILE)
        except FileNotFoundError as error:
            raise InvalidInput(
                "wallet.none", f"there is no wallet at {path}", do="make one with `evmesh wallet new`"
            ) from error
        try:
            return cls._parse(parse_json(raw))
        except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
            raise _malformed(path, str(error)) from error

    @classmethod
    def _parse(cls, document: Any) -> "_Sealed":
        crypto = document["crypto"]
        if document["version"] != 3 or crypto["cipher"] != "aes-128-ctr":
            raise ValueError("only version 3 with aes-128-ctr is read")
        sealed = cls(
            address=str(document["address"]),
            iv=bytes.fromhex(crypto["cipherparams"]["iv"]),
            hidden=bytes.fromhex(crypto["ciphertext"]),
            mac=bytes.fromhex(crypto["mac"]),
            kdf=crypto["kdf"],
            parameters=crypto["kdfparams"],
        )
        Address.parse(f"0x{sealed.address.removeprefix('0x')}")
        sealed._require_sane()
        return sealed

    def key(self, password: str) -> bytes:
        p = self.parameters
        salt = bytes.fromhex(p["salt"])
        if self.kdf == "scrypt":
            return _scrypt(password, salt, p["n"], p["r"], p["p"])
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, p["c"], _KEY_BYTES)

    def _require_sane(self) -> None:
        p = self.parameters
        bytes.fromhex(p["salt"])
        if p["dklen"] != _KEY_BYTES or len(self.iv) != 16:
            raise ValueError("a length is another than 32 or 16 bytes")
        if self.kdf == "scrypt":
            n, r, lanes = p["n"], p["r"], p["p"]
            good = all(type(one) is int and one > 0 for one in (n, r, lanes)) and n > 1 and not n & (n - 1)
            if not good or 128 * r * (n + lanes) > _MOST_MEMORY or lanes > 16:
                raise ValueError("scrypt's cost is out of range")
        elif self.kdf == "pbkdf2":
            if p["prf"] != "hmac-sha256" or type(p["c"]) is not int or not 0 < p["c"] <= _MOST_ROUNDS:
                raise ValueError("PBKDF2's cost is out of range")
        else:
            raise ValueError("only scrypt and pbkdf2 are read")


def wallet_exists(path: Path) -> InvalidInput:
    """Say that a keystore is there already."""
    return InvalidInput(
        "wallet.exists",
        f"{path} is a wallet already",
        do="name another with --wallet: what it holds would be lost",
    )


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY - 1, dklen=_KEY_BYTES
    )


def _cipher(key: bytes, iv: bytes) -> Any:
    return AES.new(key[:16], AES.MODE_CTR, nonce=b"", initial_value=iv)


def _malformed(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        "wallet.malformed",
        f"{path} is not a keystore of version 3: {why[:120]}",
        do="make it again from its words with `evmesh wallet new --words`",
    )
