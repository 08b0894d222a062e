"""Numbers in 16-bit registers: decoded and encoded exactly, with the values that mean "none"."""

import struct
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Final

from evmesh.domain.errors import ProtocolViolation


class Kind(StrEnum):
    """How a number lies in its registers."""

    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    I64 = "i64"
    F32 = "f32"


class WordOrder(StrEnum):
    """Which of a number's registers comes first; within a register the high byte does (Modbus)."""

    BIG = "big"
    LITTLE = "little"


_FORMATS: Final = {
    Kind.U16: ">H",
    Kind.I16: ">h",
    Kind.U32: ">I",
    Kind.I32: ">i",
    Kind.U64: ">Q",
    Kind.I64: ">q",
    Kind.F32: ">f",
}
WIDTH: Final = {kind: struct.calcsize(form) // 2 for kind, form in _FORMATS.items()}
"""Registers that a number takes."""

_INFINITE: Final = 0x7F80_0000


def raw_word(registers: Sequence[int], order: WordOrder) -> int:
    """Give the registers as one unsigned number, as datasheets write what means "undefined"."""
    ordered = registers if order is WordOrder.BIG else list(reversed(registers))
    return int.from_bytes(b"".join(one.to_bytes(2, "big") for one in ordered), "big")


def decode(registers: Sequence[int], kind: Kind, order: WordOrder) -> Fraction:
    """Give the exact number; a binary32 is exact too. Raises ProtocolViolation for an infinity or NaN."""
    if len(registers) != WIDTH[kind]:
        raise ProtocolViolation(
            "device.nonsense", f"{len(registers)} registers came where {kind} has {WIDTH[kind]}"
        )
    raw = raw_word(registers, order)
    if kind is Kind.F32 and raw & _INFINITE == _INFINITE:
        raise ProtocolViolation("device.nonsense", f"0x{raw:08x} is no finite number")
    (number,) = struct.unpack(_FORMATS[kind], raw.to_bytes(2 * WIDTH[kind], "big"))
    return Fraction(number)


def encode(number: int, kind: Kind, order: WordOrder) -> list[int]:
    """Give the registers of a whole number. Raises struct.error where it does not fit."""
    raw = struct.pack(_FORMATS[kind], number)
    words = [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
    return words if order is WordOrder.BIG else words[::-1]
