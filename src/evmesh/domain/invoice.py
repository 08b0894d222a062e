"""An invoice: a receipt as an accountant wants it, with the seller's name and a number.

Every amount is the receipt's own or follows from it here, in token units. What is exact to the unit is
rounded to cents once, in the total; net and VAT are parts of that. Number and day of issue are the
operator's: a receipt does not know how many invoices there were before.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import cost_of
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.units import Wh

VAT_WHOLE: Final = 10_000
"""VAT rates are hundredths of a per cent: 1900 is 19 %."""

CENT: Final = 10_000
"""Token units in a hundredth of the currency: the law wants what is owed in whole ones."""

_NUMBER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9/._-]{0,30}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells the energy, as the law wants it on an invoice.

    `currency` is what one million units of the token are called; `vat` is in hundredths of a per
    cent, None where none is shown.
    """

    name: str
    address: tuple[str, ...]
    tax_id: str
    contact: str
    currency: str
    time_zone: str
    vat: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InvoiceNumber:
    """One of an operator's numbers, and when it was given. Numbers count from 1 in each year, with no gap."""

    year: int
    number: int
    issued: datetime

    @property
    def text(self) -> str:
        """The number as it is printed: six digits, more where a year has more invoices."""
        return f"{self.year}-{self.number:06d}"


@dataclass(frozen=True, slots=True)
class Invoice:
    """One receipt, billed. Says nothing on whether the receipt is true: verify it first."""

    number: str
    issued: date
    seller: Seller
    receipt: Receipt
    receipt_sha256: bytes
    start: Reading
    stop: Reading

    @classmethod
    def of(cls, raw: bytes, seller: Seller, number: str, issued: date) -> "Invoice":
        """Bill the receipt of which these are the bytes.

        Raises InvalidInput `invoice.bad_number`, and where the receipt cannot be read.
        """
        if not _NUMBER.fullmatch(number):
            raise InvalidInput(
                "invoice.bad_number",
                f"{number[:60]!r} is not an invoice number",
                do="write 1 to 32 letters, digits and / . _ - between them, e.g. 2026-0001",
                path="number",
            )
        receipt = Receipt.parse(raw)
        start, stop = Reading.parse(receipt.start.payload), Reading.parse(receipt.stop.payload)
        return cls(number, issued, seller, receipt, receipt_hash(raw), start, stop)

    @property
    def energy(self) -> Wh:
        """What the meter counted, from the two registers."""
        return Wh(self.stop.register - self.start.register)

    @property
    def duration(self) -> timedelta:
        """From the first reading to the last."""
        return self.stop.at - self.start.at

    @property
    def cost(self) -> int:
        """The price of the energy, in token units."""
        return cost_of(self.energy, self.receipt.price)

    @property
    def forgone(self) -> int:
        """What the budget did not cover and nobody owes."""
        return self.cost - self.total

    @property
    def total(self) -> int:
        """What is owed and paid, VAT included, exact to the token unit."""
        return self.receipt.due

    @property
    def is_in_flex(self) -> bool:
        """Whether it was paid with the seller's FLEX, of which one is one of the currency."""
        return self.receipt.chain.paid_in is not None

    @property
    def rounded(self) -> int:
        """The total in whole cents, half a cent up: what the invoice is over."""
        return _to_cents(self.total, 1)

    @property
    def net(self) -> int:
        """The rounded total without VAT, in whole cents, half a cent up."""
        return _to_cents(self.rounded * VAT_WHOLE, VAT_WHOLE + (self.seller.vat or 0))

    @property
    def vat_amount(self) -> int:
        """The VAT in the rounded total: net and VAT add up to it exactly."""
        return self.rounded - self.net


def _to_cents(units: int, parts: int) -> int:
    """Give units ÷ parts, to the nearest cent."""
    return (2 * units + parts * CENT) // (2 * parts * CENT) * CENT
