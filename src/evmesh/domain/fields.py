"""Taking a parsed document apart: each key exactly once, of the type that was asked for.

`document` comes from `canonical.parse_json`, so numbers are integers within 2^31 - 1 already.
Errors are InvalidInput with the path of the field (`requests[3].departure`).
"""

from typing import Any

from evmesh.domain.errors import InvalidInput


class Fields:
    """One JSON object; take its fields, then call `done()` so that no unknown key passes."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, dict):
            raise InvalidInput("document.bad_type", "an object must stand here", path=path)
        self._left: dict[str, Any] = dict(value)
        self._path = path

    def path(self, key: str) -> str:
        """Give the path of a field of this object."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Tell whether an optional field is there and not yet taken."""
        return key in self._left

    def integer(self, key: str) -> int:
        """Take an integer of either sign."""
        value = self._take(key)
        if type(value) is not int:
            raise InvalidInput("document.bad_type", "an integer must stand here", path=self.path(key))
        return value

    def text(self, key: str) -> str:
        """Take a string."""
        value = self._take(key)
        if not isinstance(value, str):
            raise InvalidInput("document.bad_type", "a string must stand here", path=self.path(key))
        return value

    def items(self, key: str) -> list[Any]:
        """Take an array, of anything."""
        value = self._take(key)
        if not isinstance(value, list):
            raise InvalidInput("document.bad_type", "an array must stand here", path=self.path(key))
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Take an array of integers."""
        values = self.items(key)
        for position, value in enumerate(values):
            if type(value) is not int:
                path = f"{self.path(key)}[{position}]"
                raise InvalidInput("document.bad_type", "an integer must stand here", path=path)
        return tuple(values)

    def integer_or_integers(self, key: str) -> int | tuple[int, ...]:
        """Take an integer, or an array of integers."""
        return self.integer(key) if type(self._left.get(key)) is int else self.integers(key)

    def object(self, key: str) -> "Fields":
        """Take an object, to be taken apart in turn."""
        return Fields(self._take(key), self.path(key))

    def objects(self, key: str) -> list["Fields"]:
        """Take an array of objects, each to be taken apart in turn."""
        at = self.path(key)
        return [Fields(value, f"{at}[{position}]") for position, value in enumerate(self.items(key))]

    def done(self) -> None:
        """Refuse what nobody asked for: a misspelt key must not pass as an absent one."""
        for key in self._left:
            raise InvalidInput(
                "document.unknown_key", f"the key {key!r} is not known here", path=self.path(key)
            )

    def _take(self, key: str) -> Any:
        if key not in self._left:
            raise InvalidInput("document.missing_key", f"the key {key!r} is missing", path=self.path(key))
        return self._left.pop(key)
