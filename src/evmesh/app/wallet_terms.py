"""The terms of a transfer on the driver's device: checked before money moves, kept, held against the bill."""

from evmesh.app.operator_client import Json
from evmesh.app.wallet_book import Charge
from evmesh.app.wallet_place import Place
from evmesh.domain.canonical import canonical_json
from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.report import require
from evmesh.verify.transfer_terms import require_same, require_terms


def keep_terms(place: Place, charge: Charge, page: Json) -> TransferTerms:
    """Read what a station's page says, keep it with the charge, and give it.

    Raises IntegrityFailure `operator.bad_terms` where the operator did not sign that for this charge point.
    """
    try:
        terms = TransferTerms.parse(canonical_json(page["terms"]))
        require_terms(
            EthereumSignatures(),
            terms,
            "terms",
            chain=place.trust.chain,
            payee=place.payee,
            deposit_address=Address.parse(charge.deposit_address),
        )
        require_same("station", terms.station.asset, charge.asset, "terms")
        require_same("price", terms.price, charge.price, "terms")
        require(
            3 * terms.fee <= terms.minimum,
            "transfer.terms_fee_too_high",
            f"a fee of {terms.fee} is more than a third of {terms.minimum}, the least that starts a charge",
            "terms.fee",
        )
    except (EvmeshError, KeyError, TypeError, ValueError) as error:
        what = error.what if isinstance(error, EvmeshError) else "there are none that can be read"
        raise IntegrityFailure(
            "operator.bad_terms",
            f"the terms of the charge point are not the operator's signed word: {what}",
            do="send no money there; pay another way",
        ) from error
    charge.terms = terms.encode().decode()
    return terms


def are_kept(charge: Charge, receipt: Receipt) -> bool:
    """Tell whether a receipt takes no higher fee than the terms that this device has seen."""
    if not charge.terms or receipt.payment is None:
        return not charge.terms
    return receipt.payment.fee <= TransferTerms.parse(charge.terms.encode()).fee
