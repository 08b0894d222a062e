"""An invoice as a PDF page. The same invoice and font give the same bytes, at any time and place."""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import md5
from typing import Any, Final
from zoneinfo import ZoneInfo

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, SimpleDocTemplate, Spacer, Table, TableStyle

from evmesh.app.typeface import INK, Typeface
from evmesh.domain.invoice import Invoice
from evmesh.domain.money import format_units
from evmesh.domain.units import Wh

RULE: Final = HexColor("#c9ced6")
MARGIN: Final = 20 * mm
WIDTH: Final = A4[0] - 2 * MARGIN


def render(invoice: Invoice, font: bytes | None = None) -> bytes:
    """Give the PDF; `font` is a TrueType file for letters that the built-in font lacks."""
    target = io.BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=f"Invoice {invoice.number}",
        author=invoice.seller.name,
        subject=f"evmesh.receipt/1 sha256:{invoice.receipt_sha256.hex()}",
        creator="evmesh",
        lang="en",
        invariant=1,
    )
    kind = Typeface(font)
    gap = Spacer(1, 7 * mm)
    document.build(
        [
            _head(invoice, kind),
            gap,
            _where(invoice, kind),
            gap,
            *_section("Meter readings", _readings(invoice, kind), kind),
            gap,
            *_section("Amount", _amounts(invoice, kind), kind),
            gap,
            *(kind.text(note) for note in invoice.seller.notes),
            kind.text(_payment(invoice)),
            gap,
            KeepTogether(_section("How to check this invoice", _evidence(invoice, kind), kind)),
        ],
        canvasmaker=partial(_canvas, invoice.issued),
    )
    return target.getvalue()


def _canvas(issued: date, *arguments: Any, **options: Any) -> Canvas:
    """Make a canvas whose document says that it was made on the day of issue.

    Of itself reportlab takes the clock, or where it must not, the year 2000 or SOURCE_DATE_EPOCH.
    """
    canvas = Canvas(*arguments, **options)
    made = datetime(issued.year, issued.month, issued.day, tzinfo=UTC)
    document = vars(canvas)["_doc"]
    document.signature = md5(made.isoformat().encode(), usedforsecurity=False)  # names the file, no more
    stamp = document._timeStamp
    stamp.t, stamp.lt, stamp.YMDhms = made.timestamp(), made.utctimetuple(), made.utctimetuple()[:6]
    return canvas


def _head(invoice: Invoice, kind: Typeface) -> Flowable:
    seller = invoice.seller
    left = [kind.text(seller.name, 13, bold=True)]
    left += [kind.text(line) for line in seller.address]
    left += [kind.text(f"Tax id {seller.tax_id}", faint=True), kind.text(seller.contact, faint=True)]
    right = [
        kind.text("Invoice", 20, bold=True, right=True),
        Spacer(1, 3 * mm),
        kind.text(f"No. {invoice.number}", 11, bold=True, right=True),
        kind.text(f"Issued {invoice.issued.isoformat()}", right=True),
    ]
    return _table([[left, right]], (0.6, 0.4))


def _where(invoice: Invoice, kind: Typeface) -> Flowable:
    receipt = invoice.receipt
    station = receipt.station
    rows = [
        ("Charged to", f"the holder of account {receipt.offer.payer}"),
        ("Charging point", f"{station.evse_id} at {station.charge_point}, station code {station.code}"),
        ("Charged for", _duration(invoice.duration)),
    ]
    return _named(rows, kind)


def _readings(invoice: Invoice, kind: Typeface) -> Flowable:
    zone = ZoneInfo(invoice.seller.time_zone)
    rows = [_titles(kind, "", f"Local time ({zone.key})", "UTC", "Meter register")]
    for name, reading in (("Begin", invoice.start), ("End", invoice.stop)):
        register = kind.text(f"{reading.register} Wh", right=True)
        rows.append(
            [kind.text(name), kind.text(_local(reading.at, zone)), kind.text(_utc(reading.at)), register]
        )
    energy = kind.text(f"{invoice.energy} Wh", bold=True, right=True)
    rows.append([kind.text("Energy", bold=True), "", "", energy])
    return _table(rows, (0.12, 0.38, 0.28, 0.22), total=3)


def _amounts(invoice: Invoice, kind: Typeface) -> Flowable:
    currency, vat = invoice.seller.currency, invoice.seller.vat

    def row(name: str, units: int, size: float = 9, *, bold: bool = False, faint: bool = False) -> list[Any]:
        money = kind.text(f"{format_units(units)} {currency}", size, bold=bold, faint=faint, right=True)
        return [kind.text(name, size, bold=bold, faint=faint), "", "", money]

    rows = [
        _titles(kind, "Item", "Quantity", "Price per kWh", "Amount"),
        row("Electric energy", invoice.cost),
    ]
    rows[-1][1] = kind.text(_kilowatt_hours(invoice.energy), right=True)
    rows[-1][2] = kind.text(f"{format_units(invoice.receipt.price)} {currency}", right=True)
    if invoice.forgone:
        rows.append(row("Beyond the agreed budget, not charged", -invoice.forgone))
    if invoice.rounded != invoice.total:
        rows.append(row("Paid exactly, in token units", invoice.total))
        rows.append(row("Rounded to cents", invoice.rounded - invoice.total))
    total = len(rows)
    rows.append(row("Total", invoice.rounded, 11, bold=True))
    if vat is not None:
        rows.append(row("of which net", invoice.net, faint=True))
        rows.append(row(f"of which VAT {_percent(vat)} %", invoice.vat_amount, faint=True))
    return _table(rows, (0.4, 0.2, 0.2, 0.2), total=total)


def _payment(invoice: Invoice) -> str:
    chain = invoice.receipt.chain
    what = "The total is taken"
    if chain.paid_in is not None:
        what = (
            f"The total is paid with {format_units(invoice.total)} FLEX, a token of the seller's own "
            f"({chain.paid_in.token}), which the seller takes 1:1 for {invoice.seller.currency}. It is taken"
        )
    return (
        f"{what} from the balance that the payer holds for the seller in the contract "
        f"{chain.escrow} on chain {chain.chain_id}. Nothing is left to pay."
    )


def _evidence(invoice: Invoice, kind: Typeface) -> Flowable:
    receipt = invoice.receipt
    rows = [
        ("Receipt, SHA-256", invoice.receipt_sha256.hex()),
        ("Session", receipt.session.text),
        ("Meter", f"{receipt.start.meter}, readings {receipt.start.seq} and {receipt.stop.seq}"),
        ("Readings signed by", f"the {receipt.meter_key.kind}'s key {receipt.meter_key.address}"),
        ("Receipt signed by", f"{receipt.payee}, the seller's account"),
        (
            "Command",
            "evmesh verify receipt RECEIPT --trust TRUST: RECEIPT is the file with the SHA-256 above, TRUST "
            "names the accounts that you know. It needs no network, and nobody's word.",
        ),
    ]
    return _named(rows, kind, size=8)


def _section(title: str, body: Flowable, kind: Typeface) -> list[Flowable]:
    return [kind.text(title, 11, bold=True), Spacer(1, 2 * mm), body]


def _named(rows: Iterable[tuple[str, str]], kind: Typeface, size: float = 9) -> Flowable:
    cells = [[kind.text(name, size, faint=True), kind.text(said, size)] for name, said in rows]
    return _table(cells, (0.22, 0.78))


def _titles(kind: Typeface, *titles: str) -> list[Flowable | str]:
    last = len(titles) - 1
    rights = [
        number == last or title.startswith(("Quantity", "Price")) for number, title in enumerate(titles)
    ]
    return [kind.text(title, 8, faint=True, right=right) for title, right in zip(titles, rights, strict=True)]


def _table(rows: Sequence[list[Any]], shares: Sequence[float], *, total: int = 0) -> Flowable:
    """Set a table; with a row `total`, a strong line over that one and faint lines over those before."""
    style: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    if total:
        style.append(("LINEBELOW", (0, 0), (-1, total - 2), 0.5, RULE))
        style.append(("LINEABOVE", (0, total), (-1, total), 1, INK))
    table = Table(rows, colWidths=[share * WIDTH for share in shares], hAlign="LEFT")
    table.setStyle(TableStyle(style))
    return table


def _local(at: datetime, zone: ZoneInfo) -> str:
    written = at.astimezone(zone).isoformat(" ", "seconds")
    return f"{written[:19]} (UTC{written[19:]})"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _kilowatt_hours(energy: Wh) -> str:
    whole, rest = divmod(energy, 1000)
    return f"{whole}.{rest:03} kWh"


def _percent(hundredths: int) -> str:
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".")


def _duration(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {seconds} s"
