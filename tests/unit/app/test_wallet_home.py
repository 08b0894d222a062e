"""What a wallet keeps on the device about the operators that it has filled tabs of."""

from dataclasses import replace
from pathlib import Path

from evmesh.app.wallet_home import WalletHome
from evmesh.domain.receipt_parts import PaidIn
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import OPERATOR, make_trust

FLEX = PaidIn(Key("flex tab").address, Key("flex").address)


def test_the_way_out_of_a_flex_tab_stays_known_when_the_operator_names_none_any_more(tmp_path: Path) -> None:
    home, now = WalletHome(tmp_path), make_trust()
    home.remember(replace(now, flex=FLEX))
    home.remember(now)
    assert home.operators()[OPERATOR.address] == replace(now, flex=FLEX)


def test_flex_of_contracts_that_were_left_is_not_kept(tmp_path: Path) -> None:
    home, now = WalletHome(tmp_path), make_trust()
    home.remember(replace(now, flex=FLEX))
    moved = replace(now, chain=replace(now.chain, charge_tab=Key("another tab").address))
    home.remember(moved)
    assert home.operators()[OPERATOR.address] == moved
