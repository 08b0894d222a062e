"""The PDF invoice: its text read back and compared with the receipt."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import pypdfium2
import pytest
from reportlab.lib import fonts as reportlab_fonts
from typer.testing import CliRunner, Result

from evmesh.app.examples import example
from evmesh.app.main import app
from evmesh.app.seller import read_seller
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import format_units
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import PaidIn
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    ASSET,
    BASE,
    CHAIN,
    EPOCH,
    START,
    STOP,
    THIEF,
    make_receipt,
    make_receipt_on,
    make_voucher,
    resign,
)

RECEIPT = make_receipt()
SHORT = make_receipt(due=2_000_000, offer={"budget": 2_000_000}, vouchers=(make_voucher(BASE + 2_000_000),))
ODD = make_receipt(due=2_345_678, offer={"budget": 2_345_678}, vouchers=(make_voucher(BASE + 2_345_678),))
SELLER = example("seller.toml").read_text()
VERA = Path(reportlab_fonts.__file__).parents[1] / "fonts" / "VeraIt.ttf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "receipt.json": RECEIPT.encode(),
        "short.json": SHORT.encode(),
        "odd.json": ODD.encode(),
        "forged.json": resign(RECEIPT, THIEF).encode(),
        "seller.toml": SELLER.encode(),
        "plain.toml": SELLER.replace("vat_percent", "# ").encode(),
        "odd.toml": SELLER.replace("Parkeerdek Zuid B.V.", "Łódź & <Söhne>").encode(),
        "vera.ttf": VERA.read_bytes(),
        "bad.ttf": b"no font",
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(
    folder: Path, receipt: str, *options: str, seller: str = "seller.toml", number: str = "2026-0007"
) -> Result:
    given = [str(folder / word) if "." in word else word for word in options]
    files = ["-o", str(folder / "out.pdf"), "--seller", str(folder / seller)]
    return CliRunner().invoke(app, ["invoice", str(folder / receipt), *files, "--number", number, *given])


def text_of(pdf: Path) -> str:
    with_breaks = pypdfium2.PdfDocument(pdf)
    assert len(with_breaks) == 1
    return " ".join(str(with_breaks[0].get_textpage().get_text_range()).split())


def test_the_page_says_what_the_receipt_says(folder: Path) -> None:
    result = run(folder, "receipt.json")
    assert result.exit_code == 0, result.output
    text = text_of(folder / "out.pdf")
    receipt = Receipt.parse((folder / "receipt.json").read_bytes())
    zone = ZoneInfo("Europe/Amsterdam")
    for expected in (
        "Invoice No. 2026-0007 Issued 2026-03-01",
        "Parkeerdek Zuid B.V. Laadplein 1 1081 HV Amsterdam Netherlands Tax id NL000000000B00",
        f"the holder of account {receipt.offer.payer}",
        f"{receipt.station.evse_id} at {receipt.station.charge_point}, station code {receipt.station.code}",
        "0 h 45 min 0 s",
        f"Begin {START.astimezone(zone):%Y-%m-%d %H:%M:%S} (UTC+01:00) {START:%Y-%m-%d %H:%M:%S} 41200 Wh",
        f"End {STOP.astimezone(zone):%Y-%m-%d %H:%M:%S} (UTC+01:00) {STOP:%Y-%m-%d %H:%M:%S} 49200 Wh",
        f"Energy {receipt.energy} Wh",
        f"Electric energy 8.000 kWh {format_units(receipt.price)} EUR {format_units(receipt.cost)} EUR",
        f"Total {format_units(receipt.due)} EUR of which net 2.64 EUR of which VAT 21 % 0.56 EUR",
        f"{receipt.chain.charge_tab} on chain {receipt.chain.chain_id}.",
        sha256(receipt.encode()).hexdigest(),
        receipt.session.text,
        f"{receipt.start.meter}, readings {receipt.start.seq} and {receipt.stop.seq}",
        f"the gateway's key {receipt.meter_key.address}",
        f"{receipt.payee}, the seller's account",
        "evmesh verify receipt RECEIPT --trust TRUST",
    ):
        assert expected in text


def test_what_the_budget_did_not_cover_is_not_charged(folder: Path) -> None:
    assert run(folder, "short.json", seller="plain.toml").exit_code == 0
    text = text_of(folder / "out.pdf")
    assert "3.20 EUR Beyond the agreed budget, not charged -1.20 EUR Total 2.00 EUR" in text
    assert "VAT" not in text


def test_what_is_no_whole_cents_is_rounded_in_sight(folder: Path) -> None:
    done = run(folder, "odd.json", "--json")
    answer = json.loads(done.stdout)
    paid = (answer["total"], answer["rounded"], answer["net"], answer["vat"])
    assert paid == ("2345678", "2350000", "1940000", "410000")
    text = text_of(folder / "out.pdf")
    exact = "Paid exactly, in token units 2.345678 EUR Rounded to cents 0.004322 EUR Total 2.35 EUR"
    assert f"{exact} of which net 1.94 EUR of which VAT 21 % 0.41 EUR" in text
    assert "invoice 2026-0007 over 2.35 EUR" in run(folder, "odd.json").output


def test_a_charge_that_was_paid_in_flex_says_so_and_that_it_is_one_for_one(folder: Path) -> None:
    money = PaidIn(Key("flex tab").address, Key("flex").address)
    receipt = make_receipt_on(replace(CHAIN, paid_in=money), ASSET, BASE, EPOCH)
    (folder / "flex.json").write_bytes(receipt.encode())
    done = run(folder, "flex.json")
    paid = format_units(receipt.due)
    assert f"over {paid} EUR, paid with {paid} FLEX 1:1" in done.output, done.output
    text = text_of(folder / "out.pdf")
    for words in (
        f"paid with {paid} FLEX, a token of the seller's own",
        "which the seller takes 1:1 for EUR",
    ):
        assert words in text
    assert f"in the contract {money.escrow} on chain" in text
    assert CHAIN.charge_tab.text not in text
    assert json.loads(run(folder, "flex.json", "--json").stdout)["paid_in"] == "FLEX"
    assert run(folder, "receipt.json").exit_code == 0
    assert "FLEX" not in text_of(folder / "out.pdf")


def test_the_same_input_gives_the_same_bytes_in_another_process_on_another_day(folder: Path) -> None:
    assert run(folder, "receipt.json").exit_code == 0
    here = (folder / "out.pdf").read_bytes()
    arguments = ["invoice", "receipt.json", "-o", "-", "--seller", "seller.toml", "--number", "2026-0007"]
    code = "import sys; from evmesh.app.main import main; main()"
    there = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        check=True,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"},
    )
    assert there.stdout == here
    made = pypdfium2.PdfDocument(here).get_metadata_dict()
    assert (made["CreationDate"][:10], made["Title"]) == ("D:20260301", "Invoice 2026-0007")
    assert run(folder, "receipt.json", number="2026-0008").exit_code == 0
    assert (folder / "out.pdf").read_bytes() != here


def test_json_says_what_was_written(folder: Path) -> None:
    result = run(folder, "receipt.json", "--issued", "2026-03-05", "--json")
    assert json.loads(result.stdout) == {
        "ok": True,
        "paid_in": None,
        "number": "2026-0007",
        "issued": "2026-03-05",
        "total": "3200000",
        "rounded": "3200000",
        "net": "2640000",
        "vat": "560000",
        "receipt_sha256": "0x" + sha256(RECEIPT.encode()).hexdigest(),
        "output": str(folder / "out.pdf"),
    }
    assert "Issued 2026-03-05" in text_of(folder / "out.pdf")


def test_a_false_receipt_gets_no_invoice(folder: Path) -> None:
    result = run(folder, "forged.json")
    assert result.exit_code == 6
    assert "invoice.false_receipt: the receipt is false: payee signature" in result.output
    assert not (folder / "out.pdf").exists()


def test_letters_that_the_font_lacks_are_named_and_another_font_is_used(folder: Path) -> None:
    result = run(folder, "receipt.json", seller="odd.toml")
    assert result.exit_code == 2
    assert "invoice.no_glyph: the font has no ź" in result.output
    (folder / "odd.toml").write_text(SELLER.replace("Parkeerdek Zuid B.V.", "Möbius & <Söhne>"))
    assert run(folder, "receipt.json", "--font", "vera.ttf", seller="odd.toml").exit_code == 0
    assert "Möbius & <Söhne>" in text_of(folder / "out.pdf")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--issued", "2026-02-30"), "invoice.bad_date"),
        (("--font", "bad.ttf"), "invoice.bad_font"),
        (("--font", "none.ttf"), "file.unreadable"),
        (("--json", "-o", "-"), "file.stdout_twice"),
        (("--number", "#1"), "invoice.bad_number"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_its_own(
    folder: Path, options: tuple[str, ...], code: str
) -> None:
    result = run(folder, "receipt.json", *options)
    assert result.exit_code == 2
    assert code in result.output


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('name = "Parkeerdek Zuid B.V."', "", "name"),
        ('"Laadplein 1"', "1", "address[0]"),
        ('["Laadplein 1", "1081 HV Amsterdam", "Netherlands"]', "[]", "address"),
        ('"EUR"', '"euro"', "currency"),
        ('"Europe/Amsterdam"', '"Mars/Base"', "time_zone"),
        ('"21"', "21.0", "vat_percent"),
        ('"21"', '"100"', "vat_percent"),
        ("notes = []", 'note = "x"', "note"),
    ],
)
def test_a_seller_file_that_is_wrong_names_the_entry(old: str, new: str, path: str) -> None:
    assert old in SELLER
    with pytest.raises(InvalidInput, match=r"seller\.bad_entry") as error:
        read_seller(SELLER.replace(old, new).encode())
    assert error.value.path == path


def test_a_seller_file_that_is_no_toml_is_refused() -> None:
    for raw in (b"name =", b"\xff"):
        with pytest.raises(InvalidInput, match=r"seller\.not_toml"):
            read_seller(raw)
