"""Terms of transfers: whether the operator signed them, for this place, and whether they were in force."""

from collections.abc import Iterable
from datetime import UTC, datetime

from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.strict import write_instant
from evmesh.domain.transfer_terms import CLOCKS_APART, TransferTerms
from evmesh.ports import Signatures
from evmesh.verify.case import require_signer
from evmesh.verify.report import Finding, NotChecked, require


def require_terms(
    signatures: Signatures,
    terms: TransferTerms,
    path: str,
    *,
    chain: ChainRef,
    payee: Address,
    deposit_address: Address,
) -> None:
    """Raise IntegrityFailure unless the payee signed the terms, for this chain and deposit address."""
    require_signer(signatures, chain.domain, payee, terms.to_sign(), terms.signature, f"{path}.signature")
    for name, told, known in (
        ("chain", terms.chain, chain),
        ("payee", terms.payee, payee),
        ("deposit_address", terms.deposit_address, deposit_address),
    ):
        require_same(name, told, known, path)


def require_same(name: str, told: object, known: object, path: str) -> None:
    """Raise IntegrityFailure `transfer.terms_…` where the terms say otherwise than the document."""
    require(told == known, f"transfer.terms_{name}", f"the terms have another {name}", f"{path}.{name}")


def in_force(terms: TransferTerms, made_at: Iterable[int | None]) -> Finding:
    """Check that terms were in force when one of the transfers was made, as their blocks' times tell."""
    words = f"in force from {write_instant(terms.valid_from)} until {write_instant(terms.valid_until)}"
    times = [datetime.fromtimestamp(one, UTC) for one in made_at if one is not None]
    if not times:
        return NotChecked(f"{words}; the node does not tell when the transfers were made")
    begin, end = terms.valid_from - CLOCKS_APART, terms.valid_until + CLOCKS_APART
    if not any(begin <= one < end for one in times):
        return NotChecked(f"{words}; the transfers were made at another time")
    return f"{words}, and something was transferred then"
