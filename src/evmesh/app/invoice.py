"""`evmesh invoice`: a receipt that holds, as a PDF invoice."""

import json
from datetime import UTC, date, datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import STDOUT, read_input, require_one_stdin, write_output
from evmesh.app.seller import MAX_SELLER_BYTES, read_seller
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.invoice import Invoice
from evmesh.domain.money import format_units
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import MAX_RECEIPT_BYTES, Receipt
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt

MAX_FONT_BYTES: Final = 32 * 2**20


def invoice_command(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="an evmesh.receipt/1 file; - is stdin")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="the PDF; - is stdout")],
    number: Annotated[str, typer.Option(metavar="N", help="the next of the seller's sequential numbers")],
    seller: Annotated[
        str, typer.Option(envvar="EVMESH_SELLER", metavar="FILE", help="the seller file: name, address, VAT")
    ],
    issued: Annotated[
        str | None, typer.Option(metavar="DATE", help="the day of issue (without: when the charge ended)")
    ] = None,
    font: Annotated[
        str | None, typer.Option(metavar="FILE", help="a TrueType font, for letters beyond Western Europe's")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Write the PDF invoice of a receipt, after checking the receipt: a false one gets none."""
    with exit_on_error(json_output):
        require_one_stdin(receipt, seller, font)
        _require_other_stdout(output, json_output)
        raw = read_input(receipt, MAX_RECEIPT_BYTES)
        by = read_seller(read_input(seller, MAX_SELLER_BYTES))
        _require_true(raw)
        day = _day(issued) if issued else _day_of_end(raw, ZoneInfo(by.time_zone))
        invoice = Invoice.of(raw, by, number, day)
        write_output(output, _render(invoice, None if font is None else read_input(font, MAX_FONT_BYTES)))
        if json_output:
            typer.echo(json.dumps(_summary(invoice, output)))
        elif output != STDOUT:
            total = f"{format_units(invoice.total)} {by.currency}"
            typer.echo(f"invoice {invoice.number} over {total}: {output}")


def _render(invoice: Invoice, font: bytes | None) -> bytes:
    from evmesh.app.invoice_page import render  # here, since it loads half of what a PDF can be

    return render(invoice, font)


def _require_true(raw: bytes) -> None:
    report = verify_receipt(raw, EthereumSignatures())
    if not report.ok:
        names = ", ".join(check.name for check in report.failed())
        raise IntegrityFailure(
            "invoice.false_receipt",
            f"the receipt is false: {names}",
            do="see `evmesh verify receipt`; a false receipt is not billed",
        )


def _require_other_stdout(output: str, json_output: bool) -> None:
    if json_output and output == STDOUT:
        raise InvalidInput(
            "file.stdout_twice", "stdout cannot be both PDF and JSON", do="name a file with -o"
        )


def _day(text: str) -> date:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise InvalidInput(
            "invoice.bad_date", f"{text!r} is not a day", do="write it as 2026-03-01", path="issued"
        ) from error
    return day


def _day_of_end(raw: bytes, zone: ZoneInfo) -> date:
    return Reading.parse(Receipt.parse(raw).stop.payload).at.astimezone(zone).date()


def _summary(invoice: Invoice, output: str) -> dict[str, object]:
    return {
        "ok": True,
        "number": invoice.number,
        "issued": invoice.issued.isoformat(),
        "total": str(invoice.total),
        "net": str(invoice.net),
        "vat": str(invoice.vat_amount),
        "receipt_sha256": f"0x{invoice.receipt_sha256.hex()}",
        "output": output,
    }
