"""`[transfer]` of a site file: whether and how the site takes plain token transfers."""

from dataclasses import dataclass
from typing import Any, Final

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import InvalidInput
from evmesh.domain.transfers import TransferPolicy

_DEFAULTS: Final = TransferPolicy()
_BOUNDS: Final = {
    "confirmations": (1, 10_000),
    "native_price": (0, MAX_DOCUMENT_INT),
    "minimum": (1, MAX_DOCUMENT_INT),
}


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """What the site says; `confirmations` is None where the network's own finality is taken."""

    enabled: bool = True
    confirmations: int | None = None
    native_price: int = _DEFAULTS.native_price
    minimum: int = _DEFAULTS.least

    def policy(self, confirmations: int) -> TransferPolicy:
        """Give the policy on a network that wants so many confirmations."""
        return TransferPolicy(
            self.enabled, self.confirmations or confirmations, self.native_price, self.minimum
        )


def transfer_of(table: Any) -> TransferConfig:
    """Read the table, or give what holds without one; raises InvalidInput with the wrong entry's path."""
    if table is None:
        return TransferConfig()
    if not isinstance(table, dict):
        raise _bad("transfer", "a table [transfer] must stand here")
    for key in table.keys() - {"enabled", *_BOUNDS}:
        raise _bad(f"transfer.{key}", f"{key} means nothing here")
    enabled = table.get("enabled", True)
    if not isinstance(enabled, bool):
        raise _bad("transfer.enabled", "enabled is true or false")
    numbers = {key: _number(table, key) for key in _BOUNDS if key in table}
    return TransferConfig(enabled=enabled, **numbers)


def _number(table: dict[str, Any], key: str) -> int:
    value, (least, most) = table[key], _BOUNDS[key]
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"transfer.{key}", f"{key} is at least {least} and at most {most}")
    return value


def _bad(path: str, what: str) -> InvalidInput:
    return InvalidInput("site.bad_entry", what, path=path)
