"""`evmesh invoice`: a receipt that holds, as a PDF invoice.

With `--data` the session's receipt is taken from a data directory, and its number from there too: the
operator's next one of the year, given once.
"""

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from evmesh.app.config import load_site
from evmesh.app.errors import exit_on_error
from evmesh.app.files import STDOUT, read_input, require_one_stdin, write_output
from evmesh.app.seller import MAX_SELLER_BYTES, read_seller
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.invoice import Invoice, InvoiceNumber, Seller
from evmesh.domain.money import format_units
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import MAX_RECEIPT_BYTES, Receipt
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.services.invoices import Invoices, require_true
from evmesh.store.database import Database

MAX_FONT_BYTES: Final = 32 * 2**20


def invoice_command(
    receipt: Annotated[
        str,
        typer.Argument(
            metavar="RECEIPT|SESSION",
            help="an evmesh.receipt/1 file (- is stdin); with --data the id of a session",
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="the PDF; - is stdout")],
    number: Annotated[
        str | None,
        typer.Option(metavar="N", help="the next of the seller's sequential numbers; not with --data"),
    ] = None,
    seller: Annotated[
        str | None,
        typer.Option(envvar="EVMESH_SELLER", metavar="FILE", help="the seller file: name, address, VAT"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="EVMESH_DATA", metavar="DIR", help="a data directory: it keeps the numbers"),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(envvar="EVMESH_SITE", metavar="FILE", help="a site file with the table seller"),
    ] = None,
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
        by = _seller(seller, site)
        if data is not None:
            _require_no_number(number, issued)
            raw, given = asyncio.run(_numbered(data, receipt, ZoneInfo(by.time_zone)))
            invoice = numbered_invoice(raw, by, given)
        else:
            raw = read_input(receipt, MAX_RECEIPT_BYTES)
            require_true(raw, EthereumSignatures())
            day = _day(issued) if issued else _day_of_end(raw, ZoneInfo(by.time_zone))
            invoice = Invoice.of(raw, by, _required(number), day)
        write_output(output, _render(invoice, None if font is None else read_input(font, MAX_FONT_BYTES)))
        if json_output:
            typer.echo(json.dumps(_summary(invoice, output)))
        elif output != STDOUT:
            total = f"{format_units(invoice.rounded)} {by.currency}"
            flex = f", paid with {format_units(invoice.total)} FLEX 1:1" if invoice.is_in_flex else ""
            typer.echo(f"invoice {invoice.number} over {total}{flex}: {output}")


def numbered_invoice(raw: bytes, by: Seller, number: InvoiceNumber) -> Invoice:
    """Give the invoice of a receipt that has its number; it was issued on the day on which it got it."""
    return Invoice.of(raw, by, number.text, number.issued.astimezone(ZoneInfo(by.time_zone)).date())


async def _numbered(data: Path, session: str, zone: ZoneInfo) -> tuple[bytes, InvoiceNumber]:
    """Have a number given beside a platform that runs, or without one: by the newest time on record."""
    wanted, file = SessionId.parse(session), data / "state.db"
    if not file.is_file():
        raise InvalidInput("invoice.no_data", f"{data} holds no sessions", path="data")
    database = Database(f"sqlite+aiosqlite:///{file}")
    try:
        await database.migrate()
        async with database.begin() as unit:
            now = await unit.last_instant()
        if now is None:
            raise InvalidInput("invoice.no_data", f"{data} holds no sessions", path="data")
        return await Invoices(database, EthereumSignatures(), zone).bill(wanted, now)
    finally:
        await database.close()


def _seller(file: str | None, site: Path | None) -> Seller:
    if file is not None:
        return read_seller(read_input(file, MAX_SELLER_BYTES))
    found = None if site is None else load_site(site).seller
    if found is None:
        raise InvalidInput(
            "invoice.no_seller",
            "an invoice says who sells: " + ("no seller was named" if site is None else f"{site} names none"),
            do="give --seller FILE, or --site FILE with a table [seller]",
            path="seller",
        )
    return found


def _require_no_number(number: str | None, issued: str | None) -> None:
    for name, value in (("number", number), ("issued", issued)):
        if value is not None:
            raise InvalidInput(
                "invoice.numbered",
                f"with --data the {name} is the data directory's",
                do=f"leave --{name} out",
                path=name,
            )


def _required(number: str | None) -> str:
    if number is None:
        raise InvalidInput(
            "invoice.bad_number",
            "an invoice has a number",
            do="give --number N, or --data DIR, which keeps the numbers",
            path="number",
        )
    return number


def _render(invoice: Invoice, font: bytes | None) -> bytes:
    from evmesh.app.invoice_page import render  # here, since it loads half of what a PDF can be

    return render(invoice, font)


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
        "rounded": str(invoice.rounded),
        "net": str(invoice.net),
        "vat": str(invoice.vat_amount),
        "paid_in": "FLEX" if invoice.is_in_flex else None,
        "receipt_sha256": f"0x{invoice.receipt_sha256.hex()}",
        "output": output,
    }
