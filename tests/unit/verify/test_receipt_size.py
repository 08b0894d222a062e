from evmesh.domain.receipt import Receipt
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from tests.unit.verify.typical_receipt import typical_receipt

MOST_BYTES = 16_000


def test_a_typical_receipt_with_its_whole_curve_and_proofs_holds_and_fits_into_16_kb() -> None:
    raw = typical_receipt().encode()
    report = verify_receipt(raw, EthereumSignatures())
    assert report.ok, report.failed()
    assert len(Receipt.parse(raw).curve) == 481
    assert len(raw) <= MOST_BYTES
