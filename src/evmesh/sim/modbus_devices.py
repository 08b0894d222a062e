"""Simulated meters, an inverter, a battery and a charge controller: their registers, from the datasheets.

Each holds plain quantities (W, Wh, mA, mV) and writes them into registers as its datasheet says. Whoever
reads them has to find the same quantities; nothing here knows how it is read.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from evmesh.sim.modbus_server import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, RegisterError


@dataclass(slots=True)
class Quantities:
    """What a meter measures. `energy_wh` is lifetime import; None where the meter does not know."""

    energy_wh: int | None = 0
    power_w: int | None = 0
    currents_ma: list[int] = field(default_factory=lambda: [0, 0, 0])
    voltages_mv: list[int] = field(default_factory=lambda: [230_000, 230_000, 230_000])
    serial: int | None = None
    """None for a model that has no register for it."""


class _Image:
    """Registers by address, for one table."""

    def __init__(self, size: int) -> None:
        self._words: dict[int, int] = {}
        self._size = size

    def put(self, address: int, words: Sequence[int]) -> None:
        self._words |= {address + k: word for k, word in enumerate(words)}

    def read(self, address: int, count: int) -> list[int]:
        if address + count > self._size:
            raise RegisterError(ILLEGAL_ADDRESS)
        return [self._words.get(address + k, 0) for k in range(count)]


def words_of(form: str, number: float) -> list[int]:
    """Give a number as registers, the high word first; `form` is one of struct's, big-endian."""
    raw = struct.pack(">" + form, number)
    return list(struct.unpack(f">{len(raw) // 2}H", raw))


class SDM630:
    """Eastron SDM630: input registers, binary32 with the high word first, kWh and W and A."""

    def __init__(self, has: Quantities) -> None:
        self.has = has

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Answer function 4, up to 80 registers; and function 3 where the serial number lies."""
        if function == 3 and self.has.serial is not None and (address, count) == (0xFC00, 2):
            return words_of("I", self.has.serial)
        if function != 4:
            raise RegisterError(ILLEGAL_FUNCTION)
        if count > 80:
            raise RegisterError(ILLEGAL_VALUE)
        image = _Image(0x200)
        unknown = float("nan")
        for phase in range(3):
            image.put(2 * phase, words_of("f", self.has.voltages_mv[phase] / 1000))
            image.put(6 + 2 * phase, words_of("f", self.has.currents_ma[phase] / 1000))
        power, energy = self.has.power_w, self.has.energy_wh
        image.put(0x34, words_of("f", unknown if power is None else power))
        image.put(0x48, words_of("f", unknown if energy is None else energy / 1000))
        return image.read(address, count)

    def write(self, address: int, words: list[int]) -> None:
        """Refuse: its settings lie elsewhere."""
        raise RegisterError(ILLEGAL_ADDRESS)


class B23:
    """ABB B23: holding registers, whole numbers with the high word first; all ones is "undefined"."""

    def __init__(self, has: Quantities) -> None:
        self.has = has

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Answer function 3 only."""
        if function != 3:
            raise RegisterError(ILLEGAL_FUNCTION)
        image = _Image(0x8C90)
        image.put(0x8900, words_of("I", self.has.serial or 0))
        energy, power = self.has.energy_wh, self.has.power_w
        image.put(0x5000, [0xFFFF] * 4 if energy is None else words_of("Q", energy // 10))
        image.put(0x5B14, [0x7FFF, 0xFFFF] if power is None else words_of("i", power * 100))
        for phase in range(3):
            image.put(0x5B00 + 2 * phase, words_of("I", self.has.voltages_mv[phase] // 100))
            image.put(0x5B0C + 2 * phase, words_of("I", self.has.currents_ma[phase] // 10))
        return image.read(address, count)

    def write(self, address: int, words: list[int]) -> None:
        """Refuse: nothing of what we read can be written."""
        raise RegisterError(ILLEGAL_ADDRESS)


class EM340:
    """Carlo Gavazzi EM340: input and holding registers alike, 32 bits with the low word first."""

    def __init__(self, has: Quantities) -> None:
        self.has = has

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Answer functions 3 and 4."""
        image = _Image(0x5100)
        energy, power = self.has.energy_wh, self.has.power_w
        image.put(0x34, words_of("i", (energy or 0) // 100)[::-1])
        image.put(0x28, [0xFFFF, 0x7FFF] if power is None else words_of("i", power * 10)[::-1])
        for phase in range(3):
            image.put(2 * phase, words_of("i", self.has.voltages_mv[phase] // 100)[::-1])
            image.put(0x0C + 2 * phase, words_of("i", self.has.currents_ma[phase])[::-1])
        return image.read(address, count)

    def write(self, address: int, words: list[int]) -> None:
        """Refuse: nothing of what we read can be written."""
        raise RegisterError(ILLEGAL_ADDRESS)


class SmartEVSE3:
    """SmartEVSE-3 as a node: status registers 0 to 11, settings that are checked when written."""

    def __init__(
        self, *, state: int = 0, current_da: int = 160, least_da: int = 60, most_da: int = 320
    ) -> None:
        """Currents in 0.1 A."""
        self.state = state
        self.error = 0
        self.current_da = current_da
        self.access = 1
        self._least_da = least_da
        self._most_da = most_da

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Answer functions 3 and 4."""
        image = _Image(12)
        image.put(0, [self.state, self.error, self.current_da, 0, 0, self.access, 0, self._most_da // 10])
        image.put(10, [25, 1234])
        return image.read(address, count)

    def write(self, address: int, words: list[int]) -> None:
        """Take a current between the device's own limits, and the access bit."""
        if address == 2 and len(words) == 1:
            if not self._least_da <= words[0] <= self._most_da:
                raise RegisterError(ILLEGAL_VALUE)
            self.current_da = words[0]
        elif address == 5 and len(words) == 1 and words[0] in (0, 1):
            self.access = words[0]
        else:
            raise RegisterError(ILLEGAL_ADDRESS)


class RelayBoard:
    """A Modbus relay: coils that can be switched and read; no registers of interest."""

    def __init__(self, relays: int = 4) -> None:
        self.coils = [False] * relays

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Refuse."""
        raise RegisterError(ILLEGAL_FUNCTION)

    def write(self, address: int, words: list[int]) -> None:
        """Refuse."""
        raise RegisterError(ILLEGAL_FUNCTION)


_SUNS: Final = [0x5375, 0x6E53]
_NOT_THERE: Final = {"h": 0x8000, "H": 0xFFFF}


class SunSpecDevice:
    """A SunSpec device: the common model, then an inverter (103) or a battery (802), then the end."""

    def __init__(
        self,
        *,
        base: int = 40_000,
        power_w: int | None = None,
        energy_wh: int | None = None,
        soc_permille: int | None = None,
        exponent: int = -1,
        filler: int = 0,
        serial: str = "S-0001",
    ) -> None:
        """`exponent` is that of W and of the state of charge; `filler` models stand before ours."""
        self.power_w = power_w
        self.energy_wh = energy_wh
        self.soc_permille = soc_permille
        self._base = base
        self._exponent = exponent
        self._filler = filler
        self.serial = serial

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Answer function 3 only; a read outside of the models is refused."""
        if function != 3:
            raise RegisterError(ILLEGAL_FUNCTION)
        words = self._words()
        at = address - self._base
        if at < 0 or at + count > len(words):
            raise RegisterError(ILLEGAL_ADDRESS)
        return words[at : at + count]

    def write(self, address: int, words: list[int]) -> None:
        """Refuse: the controls are another model."""
        raise RegisterError(ILLEGAL_ADDRESS)

    def _words(self) -> list[int]:
        words = [*_SUNS, 1, 66, *_letters("evmesh", 16), *_letters("simulated", 16), *_letters("", 8)]
        words += [*_letters("1.0", 8), *_letters(self.serial, 16), 1, 0]
        for _ in range(self._filler):
            words += [160, 8, *[0] * 8]
        words += self._inverter() if self.soc_permille is None else self._battery()
        return [*words, 0xFFFF, 0]

    def _inverter(self) -> list[int]:
        body = [0] * 50
        exponent = self._exponent & 0xFFFF
        power = None if self.power_w is None else _scaled(self.power_w, self._exponent)
        body[12] = _NOT_THERE["h"] if power is None else power & 0xFFFF
        body[13] = exponent
        energy = 0 if self.energy_wh is None else self.energy_wh
        body[22:24] = words_of("I", energy)
        body[24] = 0
        return [103, 50, *body]

    def _battery(self) -> list[int]:
        body = [0] * 62
        body[9] = self.soc_permille or 0
        body[54] = -1 & 0xFFFF
        body[45] = _NOT_THERE["h"]
        return [802, 62, *body]


def _scaled(number: int, exponent: int) -> int:
    factor: int = 10 ** abs(exponent)
    return number * factor if exponent < 0 else number // factor


def _letters(text: str, registers: int) -> list[int]:
    raw = text.encode("ascii").ljust(2 * registers, b"\0")
    return list(struct.unpack(f">{registers}H", raw))
