"""`[transfer]` of a site file: what it says, and what it may not say."""

import pytest

from evmesh.app.transfer_site import TransferConfig, transfer_of
from evmesh.domain.errors import InvalidInput
from evmesh.domain.transfers import TransferPolicy


def test_without_a_table_transfers_are_taken_with_the_networks_own_finality() -> None:
    assert transfer_of(None) == TransferConfig()
    assert transfer_of(None).policy(12).confirmations == 12


def test_the_table_says_how_transfers_are_taken() -> None:
    table = {"enabled": False, "confirmations": 6, "native_price": 3_000_000_000 // 2, "minimum": 500_000}
    policy = transfer_of(table).policy(1)
    assert policy == TransferPolicy(enabled=False, confirmations=6, native_price=1_500_000_000, least=500_000)


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ([], "transfer"),
        ({"minimum": 0}, "transfer.minimum"),
        ({"minimum": True}, "transfer.minimum"),
        ({"minimum": 1.5}, "transfer.minimum"),
        ({"confirmations": 0}, "transfer.confirmations"),
        ({"confirmations": 10_001}, "transfer.confirmations"),
        ({"native_price": -1}, "transfer.native_price"),
        ({"enabled": 1}, "transfer.enabled"),
        ({"fee": 1}, "transfer.fee"),
    ],
)
def test_what_means_nothing_is_refused_with_its_path(table: object, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        transfer_of(table)
    assert refused.value.path == path


def test_gas_becomes_token_units_rounded_up_and_the_minimum_pays_for_a_return() -> None:
    policy = TransferPolicy(native_price=3_000_000_000, least=100_000)  # 3000 a coin
    assert policy.fee(90_000, 10**9) == 270_000  # 90,000 gas at 1 gwei is 0.00009 coins
    assert policy.fee(1, 1) == 1
    assert policy.minimum(270_000) == 810_000
    assert policy.minimum(10) == 100_010
