"""A driver's half of the session's record: signed for a receipt that says what the driver agreed to."""

from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import Address
from evmesh.domain.money import cost_of
from evmesh.domain.receipt import Receipt
from evmesh.domain.session_record import countersigned
from evmesh.domain.strict import write_bytes
from evmesh.domain.typed_data import TypedStruct, digest
from evmesh.ports import Signatures, Wallet
from evmesh.sim.api_client import Document
from evmesh.sim.progress import Accepted


def record_document(
    raw: bytes, accepted: Accepted, wallet: Wallet, signatures: Signatures
) -> Document | None:
    """Give the body of POST /v1/sessions/{id}/countersign; None for a receipt that is not believed.

    Checked: session, payee, price and budget of the offer that was taken, the arithmetic of the bill,
    that the payee signed it, and that it stands on the request which this wallet signed.
    """
    try:
        receipt = Receipt.parse(raw)
        if not _is_true(receipt, accepted, wallet.address, signatures):
            return None
    except EvmeshError:
        return None
    signed = digest(receipt.chain.domain, countersigned(receipt, raw), signatures.keccak256)
    return {"signature": write_bytes(wallet.sign(signed))}


def _is_true(receipt: Receipt, accepted: Accepted, driver: Address, signatures: Signatures) -> bool:
    def signer(value: TypedStruct, signature: bytes) -> Address:
        return signatures.recover(digest(receipt.chain.domain, value, signatures.keccak256), signature)

    return (
        bool(receipt.curve)
        and receipt.session.text == accepted.session
        and receipt.payee.text == accepted.payee
        and receipt.price == accepted.price
        and receipt.energy == receipt.curve[-1][1] - receipt.curve[0][1]
        and receipt.cost == cost_of(receipt.energy, receipt.price)
        and receipt.due <= min(receipt.cost, accepted.budget)
        and receipt.request.payer == driver
        and signer(receipt.request, receipt.request_signature) == driver
        and signer(receipt.to_sign(), receipt.signature) == receipt.payee
    )
