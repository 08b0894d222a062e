"""Keys are made once, kept closed, and deposit keys follow from the operator's."""

import hmac
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import EvseId
from evmesh.ledger.keys import deposit_signer, open_keys, open_secret
from evmesh.ledger.signatures import ORDER

EVSE = EvseId.parse("DE*ABC*E1*1")


def test_keys_are_made_once_and_kept_closed(tmp_path: Path) -> None:
    first = open_keys(tmp_path / "keys")
    second = open_keys(tmp_path / "keys")
    names = ("operator", "relayer", "notary", "gateway", "deployer")
    assert [getattr(first, name).address for name in names] == [
        getattr(second, name).address for name in names
    ]
    assert len({getattr(first, name).address for name in names}) == len(names)
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == sorted(
        f"{name}.key" for name in names
    )
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "keys").iterdir())
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_another_directory_has_other_keys(tmp_path: Path) -> None:
    assert open_keys(tmp_path / "a").deployer.address != open_keys(tmp_path / "b").deployer.address


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    open_secret(tmp_path / "operator.key")
    (tmp_path / "operator.key").chmod(mode)
    with pytest.raises(InvalidInput, match=r"keys\.too_open") as refused:
        open_secret(tmp_path / "operator.key")
    assert "chmod 600" in refused.value.do


@pytest.mark.parametrize("text", ["", "hello", "00" * 32, "11" * 31, f"{ORDER:064x}", "ff" * 32])
def test_what_is_no_key_is_refused_and_left(tmp_path: Path, text: str) -> None:
    path = tmp_path / "operator.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match=r"keys\.malformed"):
        open_secret(path)
    assert path.read_text() == text


def test_deposit_addresses_follow_from_the_operators_key_for_ever() -> None:
    """Money waits at these addresses: a changed derivation would lose it."""
    message = b"evmesh deposit key 1" + b"DE*ABC*E1*1" + b"\0"
    by_hand = Account.from_key(hmac.new(b"\x01" * 32, message, "sha256").digest()).address.lower()
    assert deposit_signer(b"\x01" * 32, EVSE).address.text == by_hand
    assert by_hand == "0x842d806415d5f136873304369875f6a392002587"


@given(st.binary(min_size=32, max_size=32), st.integers(0, 99))
def test_each_evse_and_each_operator_has_its_own_deposit_address(secret: bytes, number: int) -> None:
    other = EvseId.parse(f"DE*ABC*E2*{number}")
    assert deposit_signer(secret, EVSE).address != deposit_signer(secret, other).address
    assert deposit_signer(secret, other).address != deposit_signer(secret[::-1] + b"\x01", other).address
