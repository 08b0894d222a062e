"""Finds the models of a SunSpec device: a list of blocks, each with its id and length.

Source: SunSpec Alliance, Device Information Model Specification 1.0, section 6.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from evmesh.domain.errors import ProtocolViolation

Models = dict[int, int]
"""Where each model begins, its id register included, by id; of several with one id the first."""

_MARK: Final = [0x5375, 0x6E53]
"""`SunS`."""
_END: Final = 0xFFFF
_MOST_MODELS: Final = 200


async def walk(read: Callable[[int, int], Awaitable[list[int]]], base: int) -> Models:
    """Follow the list from `base`; `read` gives (address, count) holding registers.

    Raises ProtocolViolation `device.nonsense` where no list begins there, or it does not end.
    """
    if await read(base, 2) != _MARK:
        raise ProtocolViolation("device.nonsense", f"no SunSpec device begins at register {base}")
    found: Models = {}
    at = base + 2
    for _ in range(_MOST_MODELS):
        model, length = await read(at, 2)
        if model == _END:
            return found
        found.setdefault(model, at)
        at += 2 + length
        if at > 65_533:
            break
    raise ProtocolViolation("device.nonsense", "the list of SunSpec models does not end")
