"""A wallet's directory on the driver's own device: keystore, operators that it dealt with, what it sent."""

import json
import os
import secrets
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import typer

from evmesh.app.files import read_file
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.trust import Trust
from evmesh.ledger.keystore import address_in, read_keystore, wallet_exists, write_keystore
from evmesh.ledger.signatures import KeySigner

_MAX_PASSWORD: Final = 4096


class By(StrEnum):
    """How a deposit is signed."""

    PERMIT = "permit"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class WalletHome:
    """`keystore.json`, `operators/<payee>.json` (evmesh.trust/1), and `sent.db` with its lock."""

    directory: Path

    @property
    def keystore(self) -> Path:
        return self.directory / "keystore.json"

    def require_free(self) -> None:
        """Raise InvalidInput `wallet.exists` before anybody is asked for a password in vain."""
        if self.keystore.exists():
            raise wallet_exists(self.keystore)

    def create(self, secret: bytes, password: str) -> Address:
        """Write the keystore; raises InvalidInput where there is one already."""
        write_keystore(self.keystore, secret, password, secrets.token_bytes)
        return KeySigner(secret).address

    def address(self) -> Address:
        """Give the account without its password, as the keystore names it."""
        return address_in(self.keystore)

    def unlock(self, password: str) -> KeySigner:
        """Give the key; raises IntegrityFailure where the password is another, or the address was changed."""
        signer = KeySigner(read_keystore(self.keystore, password))
        if signer.address != self.address():
            raise InvalidInput(
                "wallet.malformed", f"{self.keystore} names another account than its key's", do="restore it"
            )
        return signer

    def remember(self, trust: Trust) -> None:
        """Keep where money went, so that it comes back without the operator's help.

        An operator that names no FLEX any more may still hold some: what was known of it stays.
        """
        folder = self.directory / "operators"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self.operators()
        for payee in trust.payees:
            before, kept = known.get(payee), trust
            if trust.flex is None and before is not None and before.chain == trust.chain:
                kept = replace(trust, payees=frozenset({payee}), flex=before.flex)
            fresh = folder / f"{payee}.new"
            with fresh.open("wb") as file:
                file.write(json.dumps(kept.to_json(), indent=2).encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(folder / f"{payee}.json")

    def operators(self) -> dict[Address, Trust]:
        """Give the operators whose tabs this wallet filled."""
        known = sorted((self.directory / "operators").glob("0x*.json"))
        return {Address.parse(path.stem): Trust.parse(read_file(path)) for path in known}


def password_from(file: Path | None, *, twice: bool = False) -> str:
    """Give the password: the first line of a file, EVMESH_WALLET_PASSWORD, or what the driver types.

    Raises InvalidInput `wallet.no_password` where nobody can be asked.
    """
    if file is not None:
        return read_file(file, _MAX_PASSWORD).decode(errors="replace").partition("\n")[0].rstrip("\r")
    given = os.environ.get("EVMESH_WALLET_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InvalidInput(
            "wallet.no_password",
            "nobody can be asked for the password here",
            do="name a file with --password-file, or set EVMESH_WALLET_PASSWORD",
        )
    return str(typer.prompt("Password of the wallet", hide_input=True, confirmation_prompt=twice, err=True))
