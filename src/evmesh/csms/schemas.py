"""The official OCPP 1.6 JSON schemas, compiled, each on its first use.

The schema files are the Open Charge Alliance's, as the package data of PyPI `ocpp`; none of that
package's code is imported (it costs 30 times as much per message, and a second at start).
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jsonschema_rs
import msgspec

from evmesh.csms.frames import ErrorCode

_CODE_OF_KEYWORD: Final = {
    "required": ErrorCode.PROTOCOL_ERROR,
    "type": ErrorCode.TYPE_CONSTRAINT_VIOLATION,
    "additionalProperties": ErrorCode.FORMATION_VIOLATION,
    "enum": ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
    "maxLength": ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
    "multipleOf": ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
    "minItems": ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION,
    "maxItems": ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """The first thing that a schema finds wrong, as the CALLERROR that says so."""

    code: ErrorCode
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


def is_action(action: str) -> bool:
    """Say whether OCPP 1.6 (or its security extension) has this action, in either direction."""
    return action in _actions()


def check_call(action: str, payload: dict[str, Any]) -> Violation | None:
    """Check the payload of a CALL. The action must be one of OCPP 1.6."""
    return _check(action, payload)


def check_result(action: str, payload: dict[str, Any]) -> Violation | None:
    """Check the payload of a CALLRESULT to a CALL of this action."""
    return _check(f"{action}Response", payload)


def _check(name: str, payload: dict[str, Any]) -> Violation | None:
    validator = _validator(name)
    try:
        if validator.is_valid(payload):
            return None
        error = next(validator.iter_errors(payload))
    except ValueError as too_deep:
        return Violation(ErrorCode.FORMATION_VIOLATION, "", str(too_deep))
    code = _CODE_OF_KEYWORD.get(error.kind.name, ErrorCode.FORMATION_VIOLATION)
    return Violation(code, _path(error.instance_path), error.message)


def _path(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


@cache
def _validator(name: str) -> "jsonschema_rs.Validator":
    # Formats are not checked here: stations leave the zone off their timestamps, which `instants`
    # reads and a strict date-time would refuse.
    return jsonschema_rs.validator_for(msgspec.json.decode(_sources()[name]), validate_formats=False)


@cache
def _actions() -> frozenset[str]:
    return frozenset(name for name in _sources() if not name.endswith("Response"))


@cache
def _sources() -> dict[str, bytes]:
    """Give each schema file's bytes by its name without `.json`; imports the empty `ocpp` alone."""
    folder = files("ocpp") / "v16" / "schemas"
    return {
        file.name.removesuffix(".json"): file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".json")
    }
