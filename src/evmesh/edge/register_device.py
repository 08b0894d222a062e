"""A device that is described by a template: reads its registers, and says only what is sure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.telemetry import OperationState, ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.device import Identity, Picture, Value
from evmesh.edge.meter_identity import MeterIdentity
from evmesh.edge.modbus import ModbusLine
from evmesh.edge.sunspec import Models, walk
from evmesh.edge.template import HOLDING, MOST_ADDRESS, MOST_REGISTERS, Place, Point, Template, WriteRule
from evmesh.edge.words import WIDTH, Kind, WordOrder, decode, encode, raw_word

REGISTERS_THAT_GROW: Final = frozenset({ValueName.TOTAL_ENERGY_CONSUMPTION, ValueName.GENERATED_ENERGY})
_NO_EXPONENT: Final = 0x8000
_MOST_EXPONENT: Final = 10
"""SunSpec allows powers of ten from -10 to 10."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Registers that one request reads."""

    function: int
    start: int
    count: int


class RegisterDevice:
    """One unit on a Modbus line."""

    def __init__(self, template: Template, line: ModbusLine, unit: int | None = None) -> None:
        self.template = template
        self._line = line
        self._unit = template.line.unit if unit is None else unit
        self._models: Models = {}
        self._highest: dict[ValueName, int] = {}
        self._meter = MeterIdentity(template.model)

    @property
    def values(self) -> frozenset[ValueName]:
        """Which values this device can tell at all."""
        return frozenset(point.name for point in self.template.points)

    @property
    def meter_id(self) -> str:
        """Which meter was read last; empty where nothing says so."""
        return self._meter.id

    def take_new_meter(self, at: datetime) -> None:
        """Take a person's word that the meter is another one from now on, whatever its register says."""
        self._meter.say_new(at)
        self._highest.clear()

    async def identify(self) -> Identity:
        """Give what the template says, and the serial number of a device that tells it."""
        if self.template.base is None:
            await self.read()
            return Identity(self.template.make, self.template.model, await self._serial())
        await self._walk()
        return await self._common()

    async def read(self) -> Picture:
        """Ask for everything once; a value that is undefined, or cannot be true, is None."""
        try:
            if self.template.base is not None and not self._models:
                await self._walk()
            image = await self._image()
        except BaseException as error:  # also where time was over: what was silent may have been swapped
            self._meter.doubt()
            if isinstance(error, ProtocolViolation):
                self._models = {}  # another firmware may have moved them
            raise
        picture = {point.name: self._value(point, image) for point in self.template.points}
        registers = {
            name: value
            for name, value in picture.items()
            if name in REGISTERS_THAT_GROW and isinstance(value, int)
        }
        return picture | await self._sure(registers)

    async def _sure(self, registers: Mapping[ValueName, int]) -> dict[ValueName, Value]:
        """Withhold a register that went back, unless the meter is another: it is wrong now, or was before."""
        back = {name for name, value in registers.items() if value < self._highest.get(name, 0)}
        if registers and await self._meter.is_another(self._serial, went_back=bool(back)):
            self._highest.clear()
            back = set()
        sure: dict[ValueName, Value] = {}
        for name, value in registers.items():
            sure[name] = None if name in back else value
            self._highest[name] = max(value, self._highest.get(name, 0))
        return sure

    async def _serial(self) -> str:
        """Give the meter's serial number; empty where it does not tell. Raises as `ModbusLine.read` does."""
        if self.template.base is not None:
            return (await self._common()).serial
        rule = self.template.serial
        if rule is None:
            return ""
        words = await self._line.read(self._unit, rule.function, rule.address, WIDTH[rule.kind])
        raw = raw_word(words, rule.order)
        is_none = raw in (0, (1 << (16 * len(words))) - 1)
        return "" if is_none else str(decode(words, rule.kind, rule.order))

    async def limit(self, current: Milliamp) -> None:
        """Let at most so much flow on each phase; read back before it counts."""
        rule = self._rule()
        if current < rule.least:
            await self._pause(rule)
            return
        wanted = Fraction(min(current, rule.most)) / rule.scale
        raw = wanted.numerator // wanted.denominator
        await self._set(rule, raw)
        if rule.resume is not None:
            await self._put(*rule.resume)

    async def close(self) -> None:
        """Leave the line to the others."""

    def _rule(self) -> WriteRule:
        rule = self.template.writes.get(ValueName.MAXIMUM_OUTPUT_CURRENT)
        if rule is None:
            raise Refused("device.no_limit", f"the current of a {self.template.model} cannot be limited")
        return rule

    async def _pause(self, rule: WriteRule) -> None:
        if rule.pause is None:
            raise Refused(
                "device.limit_refused",
                f"a {self.template.model} takes {rule.least} mA or more",
                do="switch it off by its contactor",
            )
        await self._put(*rule.pause)

    async def _set(self, rule: WriteRule, raw: int) -> None:
        words = encode(raw, rule.kind, rule.order)
        await self._line.write(self._unit, rule.function, rule.address, words)
        held = await self._line.read(self._unit, HOLDING, rule.address, len(words))
        if held != words:
            raise Refused(
                "device.limit_refused",
                f"a {self.template.model} holds {held} where {words} was written",
                do="look at the limits that are set at the device",
            )

    async def _put(self, address: int, value: int) -> None:
        await self._line.write(self._unit, 6, address, [value])
        held = await self._line.read(self._unit, HOLDING, address, 1)
        if held != [value]:
            raise Refused("device.limit_refused", f"register 0x{address:04x} holds {held[0]}, not {value}")

    async def _walk(self) -> None:
        base = self.template.base or 0

        async def read(address: int, count: int) -> list[int]:
            return await self._line.read(self._unit, HOLDING, address, count)

        self._models = await walk(read, base)

    async def _common(self) -> Identity:
        start = self._models.get(1)
        if start is None:
            return Identity(self.template.make, self.template.model)
        raw = await self._line.read(self._unit, HOLDING, start + 2, 64)
        make, model, version, serial = (_text(raw[a:b]) for a, b in ((0, 16), (16, 32), (40, 48), (48, 64)))
        return Identity(make, model, serial, version)

    async def _image(self) -> Mapping[tuple[int, int], int]:
        """Read every register that a value needs, in as few requests as the template's gap allows."""
        needed: set[tuple[int, int]] = set()
        for point in self.template.points:
            for address in self._addresses(point):
                needed |= {(point.function, address + k) for k in range(WIDTH[point.kind])}
            if (exponent := self._exponent_address(point)) is not None:
                needed.add((point.function, exponent))
        if needed and max(address for _, address in needed) > MOST_ADDRESS:
            raise ProtocolViolation("device.nonsense", "its list of models leads beyond the last register")
        image: dict[tuple[int, int], int] = {}
        for span in _spans(sorted(needed), self.template.line.gap):
            found = await self._line.read(self._unit, span.function, span.start, span.count)
            image |= {(span.function, span.start + k): word for k, word in enumerate(found)}
        return image

    def _addresses(self, point: Point) -> list[int]:
        found = [self._address(place) for place in point.places]
        return [address for address in found if address is not None]

    def _address(self, place: Place) -> int | None:
        if place.model is None:
            return place.address
        start = self._models.get(place.model)
        return None if start is None else start + place.offset

    def _exponent_address(self, point: Point) -> int | None:
        if point.exponent is None:
            return None
        start = next((self._models[p.model] for p in point.places if p.model in self._models), None)
        return None if start is None else start + point.exponent.offset

    def _value(self, point: Point, image: Mapping[tuple[int, int], int]) -> Value:
        if point.words:
            return self._word(point, image)
        addresses = self._addresses(point)
        if point.combine == "one":
            addresses = addresses[:1]  # of several models that tell the same, the first that is there
        numbers = [self._number(point, address, image) for address in addresses]
        known = [number for number in numbers if number is not None]
        if not known or len(known) != len(numbers):
            return None
        total = max(known) if point.combine == "max" else sum(known, Fraction(0))
        value = round(total)  # to the nearest: a binary32 is a little beside what the meter shows
        if not point.least <= value <= point.most:
            return None
        return value

    def _word(self, point: Point, image: Mapping[tuple[int, int], int]) -> str:
        addresses = self._addresses(point)
        if not addresses:
            return OperationState.UNKNOWN
        raw = raw_word(_registers(point, addresses[0], image), point.order)
        return point.words.get(raw, OperationState.UNKNOWN)

    def _number(self, point: Point, address: int, image: Mapping[tuple[int, int], int]) -> Fraction | None:
        registers = _registers(point, address, image)
        if raw_word(registers, point.order) in point.none:
            return None
        scale = point.scale
        if (at := self._exponent_address(point)) is not None:
            raw = image[point.function, at]
            power = int(decode([raw], Kind.I16, WordOrder.BIG))
            if raw == _NO_EXPONENT or abs(power) > _MOST_EXPONENT:
                return None
            scale *= Fraction(10) ** power
        try:
            return decode(registers, point.kind, point.order) * scale
        except ProtocolViolation:
            return None  # a NaN: the meter's own word for "not measured"


def _registers(point: Point, address: int, image: Mapping[tuple[int, int], int]) -> list[int]:
    return [image[point.function, address + k] for k in range(WIDTH[point.kind])]


def _spans(needed: Sequence[tuple[int, int]], gap: int) -> Iterator[_Span]:
    """Join registers that lie near each other; `needed` is in order."""
    at = 0
    while at < len(needed):
        function, start = needed[at]
        end = start
        while at < len(needed):
            other, address = needed[at]
            if other != function or address > end + gap + 1 or address - start >= MOST_REGISTERS:
                break
            end = address
            at += 1
        yield _Span(function, start, end - start + 1)


def _text(registers: Sequence[int]) -> str:
    raw = b"".join(one.to_bytes(2, "big") for one in registers)
    return raw.split(b"\0", 1)[0].decode("ascii", "replace").strip()
