"""A receipt against a real chain: its owner, anchor and settlement, as `evmesh verify receipt --rpc` asks."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.verify import app
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Status
from tests.contract.chain import CHAIN_ID, Chain, Contract
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    DRIVER,
    NOTARY,
    OPERATOR,
    PRICE,
    SIGNATURES,
    THIEF,
    make_receipt_on,
)

BUDGET = 5_000_000


@dataclass
class Place:
    """The four contracts, one asset of the operator's, and a tab of the driver's."""

    chain: Chain
    token: Contract
    tab: Contract
    registry: Contract
    notary: Contract
    receipt: Receipt

    @classmethod
    def build(cls, chain: Chain) -> "Place":
        for key in (DRIVER, OPERATOR, NOTARY, THIEF):
            chain.rpc("anvil_setBalance", key.address.text, hex(10**24))
        deployer = OPERATOR.address.text
        token = chain.deploy("DevToken", sender=deployer)
        tab = chain.deploy("ChargeTab", token.address, 86_400, sender=deployer)
        registry = chain.deploy("AssetRegistry", sender=deployer)
        notary = chain.deploy("MeterNotary", sender=deployer)
        registry.send("register", 0, 1 << 160, PRICE << 217, bytes(32), sender=deployer)
        token.send("mint", DRIVER.address.text, BUDGET, sender=deployer)
        token.send("approve", tab.address, BUDGET, sender=DRIVER.address.text)
        tab.send("deposit", deployer, BUDGET, sender=DRIVER.address.text)
        contracts = [Address.parse(one.address) for one in (tab, registry, notary, token)]
        receipt = make_receipt_on(ChainRef(CHAIN_ID, *contracts), asset=1, base=0, epoch=0)
        return cls(chain, token, tab, registry, notary, receipt)

    def anchor(self, size: int, root: bytes, publisher: Key = NOTARY) -> None:
        stream = self.receipt.tree.stream
        self.notary.send("anchor", stream, size, root, sender=publisher.address.text)

    def claim(self) -> None:
        voucher, amount = self.receipt.vouchers[-1], self.receipt.due
        r, vs = int.from_bytes(voucher.signature[:32], "big"), int.from_bytes(voucher.signature[32:], "big")
        row = amount | voucher.cumulative << 96 | voucher.epoch << 192
        self.tab.send("claim", [(r, vs, row)], sender=OPERATOR.address.text)

    async def checks(self) -> dict[str, Check]:
        facts = await read_chain_facts(self.chain.url, self.receipt)
        report = verify_receipt(self.receipt.encode(), SIGNATURES, chain=facts)
        return {check.name: check for check in report.checks}


@pytest.fixture
def place(chain: Chain) -> Place:
    return Place.build(chain)


async def test_before_anchor_and_claim_nothing_is_false_and_nothing_of_it_is_called_ok(place: Place) -> None:
    checks = await place.checks()
    assert checks["registry"].status is Status.OK
    assert str(PRICE) in checks["registry"].what
    assert (checks["anchor"].status, checks["settlement"].status) == (Status.NOT_CHECKED,) * 2


async def test_the_newest_head_and_the_claim_are_found(place: Place) -> None:
    place.anchor(place.receipt.tree.size, place.receipt.tree.root)
    place.claim()
    checks = await place.checks()
    assert {check.status for check in checks.values()} == {Status.OK, Status.NOT_CHECKED}
    assert (checks["anchor"].status, checks["settlement"].status) == (Status.OK,) * 2


async def test_an_older_head_is_found_in_the_logs(place: Place) -> None:
    tree = place.receipt.tree
    place.anchor(3, bytes(31) + b"\1")
    place.anchor(tree.size, tree.root)
    place.anchor(tree.size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].status is Status.OK


async def test_a_head_that_was_skipped_is_not_called_anchored(place: Place) -> None:
    place.anchor(place.receipt.tree.size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].status is Status.NOT_CHECKED


async def test_another_root_at_this_size_is_a_lie_whether_newest_or_older(place: Place) -> None:
    size = place.receipt.tree.size
    place.anchor(size, bytes(31) + b"\1")
    assert (await place.checks())["anchor"].code == "anchor.other_root"
    place.anchor(size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].code == "anchor.other_root"


async def test_what_another_publisher_anchors_in_the_same_stream_does_not_count(place: Place) -> None:
    place.anchor(place.receipt.tree.size, place.receipt.tree.root, publisher=THIEF)
    assert (await place.checks())["anchor"].status is Status.NOT_CHECKED


async def test_an_asset_of_somebody_else_is_not_the_payees(place: Place) -> None:
    place.registry.send("register", 1, 1 << 160, 0, bytes(32), sender=THIEF.address.text)
    place.receipt = make_receipt_on(place.receipt.chain, asset=2, base=0, epoch=0)
    assert (await place.checks())["registry"].code == "registry.other_owner"
    place.receipt = make_receipt_on(place.receipt.chain, asset=3, base=0, epoch=0)
    assert (await place.checks())["registry"].code == "registry.unknown_asset"


async def test_a_chain_or_contracts_other_than_the_receipts_prove_nothing(place: Place) -> None:
    chain = place.receipt.chain
    place.receipt = make_receipt_on(replace(chain, chain_id=1), asset=1, base=0, epoch=0)
    checks = await place.checks()
    assert {checks[name].code for name in ("registry", "anchor", "settlement")} == {"chain.other_chain"}
    place.receipt = make_receipt_on(replace(chain, notary=chain.token), asset=1, base=0, epoch=0)
    assert (await place.checks())["anchor"].code == "chain.not_the_contract"


def test_the_command_asks_the_node(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(place.receipt.encode())
    place.anchor(place.receipt.tree.size, place.receipt.tree.root)
    place.claim()
    result = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url, "--json"])
    answer: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    found = {check["name"]: check["status"] for check in answer["checks"]}
    assert (found["registry"], found["anchor"], found["settlement"]) == ("ok", "ok", "ok")
