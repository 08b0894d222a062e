"""The words of a wallet and the key they stand for, against eth-account and the vectors of BIP-32."""

import secrets

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.ledger.seed import derive, new_words, secret_of
from evmesh.ledger.signatures import ORDER, KeySigner

Account.enable_unaudited_hdwallet_features()
ABANDON = "abandon " * 11 + "about"
HARD = 2**31


def test_the_words_of_the_standard_open_the_account_that_every_wallet_opens() -> None:
    assert KeySigner(secret_of(ABANDON)).address.text == "0x9858effd232b4033e47d90003d41ec34ecaeda94"


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_the_account_is_the_one_that_another_library_derives(entropy: bytes) -> None:
    words = new_words(lambda size: entropy[:size])
    assert len(words.split()) == 12
    assert secret_of(words) == bytes(Account.from_mnemonic(words).key)


def test_a_seed_of_the_standards_vectors_gives_their_keys() -> None:
    seed = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    assert derive(seed, ()).hex() == "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"
    steps = (HARD, 1, HARD + 2, 2, 1_000_000_000)
    assert derive(seed, steps).hex() == "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8"


def test_a_key_that_begins_with_zeros_keeps_them() -> None:
    seed = bytes.fromhex(
        "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c6"
        "4d2e8a1e7d1457df2e5a3c51c73235be"
    )
    assert (
        derive(seed, ()).hex().startswith("00ddb80b067e0d4993197fe10f2657a844a384589847602d56f0c629c81aae32")
    )
    assert derive(seed, (HARD,)).hex() == "491f7a2eebc7b57028e0d3faa0acda02e75c33b03c48fb288c41e2ea44e1daef"


def test_words_are_taken_in_any_case_and_spacing() -> None:
    assert secret_of("  ABANDON\n" + " abandon" * 10 + "\tAbout ") == secret_of(ABANDON)


@pytest.mark.parametrize(
    "words",
    ["", "abandon", "abandon " * 12, "abandon " * 11 + "abuot", "about " + "abandon " * 11, "ärger " * 12],
)
def test_words_with_a_slip_in_them_are_refused_and_not_repeated(words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        secret_of(words)
    assert refused.value.code == "seed.malformed"
    assert "abandon" not in refused.value.describe()


def test_two_wallets_are_never_the_same() -> None:
    assert len({new_words(secrets.token_bytes) for _ in range(20)}) == 20


def test_a_seed_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "evmesh.ledger.seed.hmac.new", lambda *_: _Digest(ORDER.to_bytes(32, "big") + bytes(32))
    )
    with pytest.raises(InvalidInput, match=r"seed\.no_key"):
        derive(b"\1" * 16, ())


class _Digest:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def digest(self) -> bytes:
        return self._raw
