"""The quick way to a voucher's payer gives what the plain way gives, for every signature."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS
from evmesh.domain.signed_types import Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.signatures import ORDER, EthereumSignatures, KeySigner, keccak256
from evmesh.ledger.vouchers import VoucherCheck

DRIVER = KeySigner(keccak256(b"driver"))
PAYEE = Address.parse("0x" + "ab" * 20)
DOMAIN = Domain(1076, Address.parse("0x" + "5e" * 20))
CHECK = VoucherCheck(DOMAIN, PAYEE)

epochs, totals = st.integers(0, 2**32 - 1), st.integers(0, MAX_UNITS)


def hashed(epoch: int, cumulative: int) -> bytes:
    return digest(DOMAIN, Voucher(payee=PAYEE, epoch=epoch, cumulative=cumulative), keccak256)


def plainly(epoch: int, cumulative: int, signature: bytes) -> Address | None:
    try:
        return EthereumSignatures().recover(hashed(epoch, cumulative), signature)
    except IntegrityFailure:
        return None


def quickly(epoch: int, cumulative: int, signature: bytes) -> Address | None:
    try:
        return CHECK.payer(epoch, cumulative, signature)
    except IntegrityFailure:
        return None


@given(epochs, totals, st.sampled_from([0, 27, None]))
def test_the_payer_of_a_voucher_is_found(epoch: int, cumulative: int, v: int | None) -> None:
    signature = DRIVER.sign(hashed(epoch, cumulative))
    if v is not None:  # the form of 65 bytes
        parity = signature[32] >> 7
        signature = signature[:32] + bytes([signature[32] & 0x7F]) + signature[33:] + bytes([v + parity])
    assert quickly(epoch, cumulative, signature) == DRIVER.address


@given(epochs, totals, st.binary(max_size=66) | st.binary(min_size=64, max_size=65))
def test_any_other_bytes_are_whose_they_are_or_nobodys(epoch: int, cumulative: int, raw: bytes) -> None:
    assert quickly(epoch, cumulative, raw) == plainly(epoch, cumulative, raw)


@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER // 2, ORDER // 2 + 1, 2**255 - 1])
def test_the_ends_of_the_ranges_are_the_same(r: int, s: int) -> None:
    for parity in (0, 1):
        raw = r.to_bytes(32, "big") + (s | parity << 255).to_bytes(32, "big")
        assert quickly(1, 7, raw) == plainly(1, 7, raw)


@pytest.mark.parametrize(("epoch", "cumulative"), [(-1, 1), (2**32, 1), (0, -1), (0, MAX_UNITS + 1)])
def test_what_no_voucher_can_say_is_signed_by_nobody(epoch: int, cumulative: int) -> None:
    with pytest.raises(IntegrityFailure, match=r"signature\.malformed"):
        CHECK.payer(epoch, cumulative, DRIVER.sign(hashed(1, 1)))
