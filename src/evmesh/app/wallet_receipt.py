"""The end of a charge: the receipt is fetched, checked as `evmesh verify` does, and kept."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evmesh.app.operator_client import OperatorClient
from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.verdict import report_lines
from evmesh.app.wallet_book import Charge
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_terms import are_kept
from evmesh.domain.errors import EvmeshError, IntegrityFailure, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Way
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report

_THERE_WITHIN: Final = 60
_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt on this device, and what was checked."""

    path: Path
    receipt: Receipt
    report: Report

    def lines(self) -> list[str]:
        """Give the checks as `evmesh verify receipt` prints them."""
        return report_lines(self.report)


async def keep_receipt(
    place: Place, api: OperatorClient, directory: Path, charge: Charge, payer: Address
) -> Kept:
    """Fetch, keep and check the receipt, against the node too, and against what this wallet signed.

    Raises IntegrityFailure `receipt.false` where a check fails (the file is kept as evidence) or
    `receipt.other_charge`, Unavailable where there is none yet.
    """
    raw = await _fetched(api, f"/v1/receipts/{charge.session}")
    path = _write(directory / "receipts" / f"{charge.session}.json", raw)
    try:
        receipt = Receipt.parse(raw)
    except EvmeshError as error:
        raise IntegrityFailure("receipt.false", f"{path} is no receipt: {error.what}") from error
    _require_ours(place, receipt, charge, payer)
    facts = await read_chain_facts(place.rpc.url, receipt)
    report = verify_receipt(
        raw, EthereumSignatures(), place.trust, None, facts, meter_signatures=EcdsaMeterSignatures()
    )
    if not report.ok:
        names = ", ".join(check.name for check in report.failed())
        raise IntegrityFailure(
            "receipt.false",
            f"this receipt is false: {names}",
            do=f"keep it as evidence; look with `evmesh verify receipt {path} --rpc URL`",
        )
    return Kept(path, receipt, report)


async def keep_settlement(api: OperatorClient, directory: Path, charge: Charge) -> Path | None:
    """Keep the settlement where it is there already."""
    raw = await api.document(f"/v1/settlements/{charge.session}")
    if raw is None:
        return None
    return _write(directory / "receipts" / f"{charge.session}.settlement.json", raw)


def _require_ours(place: Place, receipt: Receipt, charge: Charge, payer: Address) -> None:
    """Hold the bill against what this device knows: it signed the request, and no more than its vouchers."""
    highest = max((voucher.cumulative for voucher in receipt.vouchers), default=0)
    signed = charge.way is not Way.TRANSFER  # a transfer says by itself what it is for
    most = charge.signed - charge.base if signed else charge.max_cost
    for name, holds in (
        ("session", receipt.session.text == charge.session),
        ("request", not signed or receipt.request == charge.request(payer)),
        ("price", receipt.price == charge.price or (not signed and receipt.price < charge.price)),
        ("fee", are_kept(charge, receipt)),
        ("money", receipt.chain.escrow == place.coin.escrow),
        ("payee", receipt.payee.text == charge.payee),
        ("vouchers", highest <= charge.signed),
        ("amount", receipt.due <= most),
    ):
        if not holds:
            raise IntegrityFailure(
                "receipt.other_charge",
                f"the receipt's {name} is not that of this charge",
                do="keep it as evidence; tell the operator",
            )


async def _fetched(api: OperatorClient, path: str) -> bytes:
    for _ in range(_THERE_WITHIN):
        raw = await api.document(path)
        if raw is not None:
            return raw
        await asyncio.sleep(_LOOK_EVERY_S)
    raise Unavailable(
        "receipt.not_yet",
        "the charge has ended, and there is no receipt yet",
        do="fetch it later with `evmesh wallet pay --resume`",
    )


def _write(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(raw)
    fresh.replace(path)
    return path
