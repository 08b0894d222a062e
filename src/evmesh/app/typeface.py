"""Text in one TrueType font, of which every letter is known to be there."""

import io
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Paragraph

from evmesh.domain.errors import InvalidInput

INK: Final = HexColor("#1b1f24")
FAINT: Final = HexColor("#5b6470")

_PLAIN: Final = "Vera.ttf"
_BOLD: Final = "VeraBd.ttf"
"""Bitstream Vera comes with reportlab; it has the letters of Western Europe."""


class Typeface:
    """The fonts of one page, and text set in them."""

    def __init__(self, font: bytes | None) -> None:
        plain = _bundled(_PLAIN) if font is None else font
        bold = _bundled(_BOLD) if font is None else font
        self._plain, self._bold = _register(plain), _register(bold)
        self._glyphs = self._plain.face.charToGlyph.keys() & self._bold.face.charToGlyph.keys()

    def text(
        self, text: str, size: float = 9, *, bold: bool = False, faint: bool = False, right: bool = False
    ) -> Paragraph:
        """Set a text; raises InvalidInput `invoice.no_glyph` where the font lacks one of its letters."""
        missing = sorted({letter for letter in text if ord(letter) not in self._glyphs})
        if missing:
            raise InvalidInput(
                "invoice.no_glyph",
                f"the font has no {' '.join(missing)}, of {text!r}",
                do="name a TrueType font that has it with --font",
            )
        style = ParagraphStyle(
            "text",
            fontName=(self._bold if bold else self._plain).fontName,
            fontSize=size,
            leading=size * 1.42,
            textColor=FAINT if faint else INK,
            alignment=TA_RIGHT if right else 0,
            splitLongWords=1,
        )
        return Paragraph(escape(text), style)


def _bundled(name: str) -> bytes:
    return (files("reportlab") / "fonts" / name).read_bytes()


def _register(font: bytes) -> TTFont:
    """Make a font known to reportlab under the hash of its bytes: its table of fonts is one for all."""
    name = f"evmesh-{sha256(font).hexdigest()[:16]}"
    try:
        found = TTFont(name, io.BytesIO(font))
    except (TTFError, ValueError, IndexError, KeyError) as error:
        what = f"this is not a TrueType font that can be used: {error}"
        raise InvalidInput("invoice.bad_font", what, do="name a .ttf file with --font") from error
    pdfmetrics.registerFont(found)
    return found
