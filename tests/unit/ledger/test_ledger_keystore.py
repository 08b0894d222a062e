"""The file that holds a driver's key, in both directions with eth-account."""

import json
import secrets
from pathlib import Path
from typing import Any, Literal

import pytest
from eth_account import Account

from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.keystore import read_keystore, write_keystore
from evmesh.ledger.signatures import KeySigner

SECRET = b"\x17" * 32
CHEAP = 2**10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wallet" / "keystore.json"


def write(path: Path, password: str = "correct horse") -> None:
    write_keystore(path, SECRET, password, secrets.token_bytes, cost=CHEAP)


def changed(path: Path, change: dict[str, Any], where: str = "") -> None:
    document = json.loads(path.read_text())
    target = document
    for name in filter(None, where.split(".")):
        target = target[name]
    target.update(change)
    path.write_text(json.dumps(document))


def test_the_key_comes_back_under_its_password_only(path: Path) -> None:
    write(path, "größe 🔑")
    assert read_keystore(path, "größe 🔑") == SECRET
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert SECRET.hex() not in path.read_text()
    with pytest.raises(IntegrityFailure, match=r"wallet\.wrong_password"):
        read_keystore(path, "grösse")


def test_another_wallet_reads_ours(path: Path) -> None:
    write(path)
    document = json.loads(path.read_text())
    assert bytes(Account.decrypt(document, "correct horse")) == SECRET
    assert "0x" + document["address"] == KeySigner(SECRET).address.text


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_we_read_another_wallets(path: Path, kdf: Literal["scrypt", "pbkdf2"]) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps(Account.encrypt(SECRET, "correct horse", kdf=kdf, iterations=1024)))
    path.chmod(0o600)
    assert read_keystore(path, "correct horse") == SECRET


def test_a_wallet_is_never_overwritten(path: Path) -> None:
    write(path)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match=r"wallet\.exists"):
        write(path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_empty_password_is_refused(path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"wallet\.no_password"):
        write(path, "")
    assert not path.exists()


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    write(path)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match=r"wallet\.too_open"):
        read_keystore(path, "correct horse")


def test_a_wallet_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_keystore(path, "correct horse")
    assert "evmesh wallet new" in refused.value.do


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("", {"version": 1}),
        ("", {"crypto": 5}),
        ("crypto", {"cipher": "aes-256-gcm"}),
        ("crypto", {"kdf": "argon2"}),
        ("crypto", {"mac": "zz"}),
        ("crypto.cipherparams", {"iv": "00"}),
        ("crypto.kdfparams", {"n": 2**30}),
        ("crypto.kdfparams", {"n": 1000}),
        ("crypto.kdfparams", {"r": 2**28}),
        ("crypto.kdfparams", {"p": 0}),
        ("crypto.kdfparams", {"dklen": 16}),
        ("crypto.kdfparams", {"salt": "salt"}),
        ("crypto.kdfparams", {"n": "1024"}),
    ],
)
def test_a_file_that_is_none_or_costs_too_much_is_refused(
    path: Path, where: str, change: dict[str, Any]
) -> None:
    write(path)
    changed(path, change, where)
    with pytest.raises(InvalidInput) as refused:
        read_keystore(path, "correct horse")
    assert refused.value.code == "wallet.malformed"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_rubbish_is_no_wallet(path: Path, raw: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match=r"wallet\.malformed"):
        read_keystore(path, "correct horse")
