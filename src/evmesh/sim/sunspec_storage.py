"""A SunSpec battery inverter: models 103 (what flows), 124 (storage controls), from the model definitions.

What flows follows StorCtl_Mod, InWRte and OutWRte until their timeout; then, and without them, nothing does.
A negative rate is a least one of the other direction, so both together are a set-point (as Fronius describes
it for its inverters).
"""

from typing import Final

from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh
from evmesh.sim.modbus_devices import SunSpecDevice, words_of
from evmesh.sim.modbus_server import ILLEGAL_ADDRESS, ILLEGAL_VALUE, RegisterError

_CHARGE: Final = 1
_DISCHARGE: Final = 2
_RATE_SF: Final = -2
_FULL_RATE: Final = 100 * 10**-_RATE_SF
_MOST_I16: Final = 0x8000
_WRITABLE: Final = {"mode": 5, "out": 12, "in": 13, "timeout": 15}
"""Offsets in model 124, its id and length included."""


class StorageDevice(SunSpecDevice):
    """The registers and the battery behind them; `advance` lets time pass."""

    def __init__(
        self, capacity: Wh, most: W, efficiency_per_mille: int, *, stored_ws: int = 0, base: int = 40_000
    ) -> None:
        """`most` is the highest power in either direction; `efficiency_per_mille` is lost on the way out."""
        super().__init__(base=base, power_w=0, exponent=0 if most < _MOST_I16 else 1)
        self.capacity_ws = capacity * SECONDS_PER_HOUR
        self.stored_ws = stored_ws
        self.most = most
        self._efficiency = efficiency_per_mille
        self._controls = dict.fromkeys(_WRITABLE, 0) | {"in": _FULL_RATE, "out": _FULL_RATE}
        self._left_s: int | None = None
        """Seconds until the rates give way; None where they have no timeout."""

    @property
    def flows_in(self) -> W:
        """What goes into the battery at present; negative out of it."""
        return W(-(self.power_w or 0))

    def advance(self, seconds: int) -> None:
        """Let so much time pass at the power that was asked for, as far as the battery allows."""
        wanted = self._wanted()
        if wanted >= 0:
            ws = min(wanted * seconds, self.capacity_ws - self.stored_ws)
            self.stored_ws += ws
        else:
            ws = max(wanted * seconds, -(self.stored_ws * self._efficiency // 1_000))
            self.stored_ws += -(-ws * 1_000 // self._efficiency)
            self.stored_ws = max(0, self.stored_ws)
        if seconds:
            self.power_w = -(ws // seconds)
        if self._left_s is not None:
            self._left_s -= seconds
            if self._left_s <= 0:
                self._controls["mode"], self._left_s = 0, None

    def write(self, address: int, words: list[int]) -> None:
        """Take controls of model 124, one register or several."""
        first = address - self._base - self._storage_at()
        for number, word in enumerate(words):
            name = next((name for name, at in _WRITABLE.items() if at == first + number), None)
            if name is None:
                raise RegisterError(ILLEGAL_ADDRESS)
            signed = word - 0x10000 if name in ("in", "out") and word & 0x8000 else word
            if name in ("in", "out") and abs(signed) > _FULL_RATE:
                raise RegisterError(ILLEGAL_VALUE)
            self._controls[name] = signed
        timeout = self._controls["timeout"]
        self._left_s = timeout or None

    def _wanted(self) -> int:
        mode = self._controls["mode"]
        if not mode:
            return 0
        most_in = self._controls["in"] if mode & _CHARGE else _FULL_RATE
        most_out = self._controls["out"] if mode & _DISCHARGE else _FULL_RATE
        if most_in < 0 or most_out < 0:  # a least rate of the other direction
            return self.most * (most_in if most_out < 0 else -most_out) // _FULL_RATE
        return 0

    def _storage_at(self) -> int:
        return len(self._before_storage())

    def _before_storage(self) -> list[int]:
        return super()._words()[:-2]

    def _words(self) -> list[int]:
        return [*self._before_storage(), *self._storage(), 0xFFFF, 0]

    def _storage(self) -> list[int]:
        body = [0xFFFF] * 24
        body[0] = self.most // 10**self._exponent
        body[3] = self._controls["mode"]
        body[6] = 1_000 * self.stored_ws // self.capacity_ws if self.capacity_ws else 0
        body[9] = 4 if self.flows_in > 0 else 3 if self.flows_in < 0 else 6
        body[10:12] = words_of("h", self._controls["out"]) + words_of("h", self._controls["in"])
        body[13] = self._controls["timeout"]
        body[15] = 1  # may charge from the grid
        body[16:24] = [self._exponent, 0, 0x8000, 0x8000, -1 & 0xFFFF, 0x8000, 0x8000, _RATE_SF & 0xFFFF]
        return [124, 24, *body]
