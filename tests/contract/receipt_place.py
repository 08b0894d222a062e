"""A station on a real chain, whose owner serves its record, and a receipt from there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from evmesh.app.receipt_facts import read_chain_facts
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.strict import unix_seconds
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check
from tests.contract.chain import CHAIN_ID, Chain, Contract
from tests.contract.chain import Receipt as Mined
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    DRIVER,
    NOTARY,
    OPERATOR,
    PRICE,
    RATING,
    SIGNATURES,
    THIEF,
    make_receipt_on,
    make_record,
    make_voucher_on,
)

FUNDS = 20_000_000
EVSE_KIND = 1


@dataclass
class Served:
    """What the owner's web server answers, whatever it is asked."""

    body: bytes = b""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(served: Served) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            self.send_response(served.status)
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Place:
    """The four contracts, one asset of the operator's, and a tab of the driver's."""

    chain: Chain
    token: Contract
    tab: Contract
    registry: Contract
    notary: Contract
    receipt: Receipt
    served: Served

    @classmethod
    def build(cls, chain: Chain, base_url: str, served: Served) -> "Place":
        for key in (DRIVER, OPERATOR, NOTARY, THIEF):
            chain.rpc("anvil_setBalance", key.address.text, hex(10**24))
        deployer = OPERATOR.address.text
        token = chain.deploy("DevToken", sender=deployer)
        tab = chain.deploy("ChargeTab", token.address, 86_400, sender=deployer)
        registry = chain.deploy("AssetRegistry", sender=deployer)
        notary = chain.deploy("MeterNotary", sender=deployer)
        served.body = make_record()
        registry.send(
            "register",
            0,
            EVSE_KIND << 160 | RATING << 184,
            PRICE << 217,
            sha256(served.body).digest(),
            sender=deployer,
        )
        registry.send("set_base_url", base_url, sender=deployer)
        token.send("mint", DRIVER.address.text, FUNDS, sender=deployer)
        token.send("approve", tab.address, FUNDS, sender=DRIVER.address.text)
        tab.send("deposit", deployer, FUNDS, sender=DRIVER.address.text)
        contracts = (Address.parse(one.address) for one in (tab, registry, notary, token))
        at, registry_at, notary_at, token_at = contracts
        site = ChainRef(CHAIN_ID, at, registry_at, notary_at, token_at)
        receipt = make_receipt_on(site, asset=1, base=0, epoch=0)
        return cls(chain, token, tab, registry, notary, receipt, served)

    def next_block_at(self, instant: datetime) -> None:
        self.chain.rpc("evm_setNextBlockTimestamp", unix_seconds(instant))
        self.chain.rpc("evm_mine")

    def anchor(self, size: int, root: bytes, publisher: Key = NOTARY) -> None:
        stream = self.receipt.tree.stream
        self.notary.send("anchor", stream, size, root, sender=publisher.address.text)

    def row(self, amount: int, cumulative: int, driver: Key = DRIVER) -> tuple[int, int, int]:
        r, vs = make_voucher_on(self.receipt.chain, cumulative, driver)
        return (r, vs, amount | cumulative << 96)

    def claim(self, amount: int | None = None, cumulative: int | None = None) -> Mined:
        amount = self.receipt.due if amount is None else amount
        cumulative = cumulative or self.receipt.vouchers[-1].cumulative
        return self.tab.send("claim", [self.row(amount, cumulative)], sender=OPERATOR.address.text)

    async def checks(self) -> dict[str, Check]:
        facts = await read_chain_facts(self.chain.url, self.receipt)
        report = verify_receipt(self.receipt.encode(), SIGNATURES, chain=facts)
        return {check.name: check for check in report.checks}
