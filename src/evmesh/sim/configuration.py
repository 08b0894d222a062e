"""The station's configuration keys, OCPP 1.6 chapter 9: names, defaults, and which may be changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `kind` says what values it takes: int, bool, text, or a list of measurands."""

    default: str
    kind: str = "int"
    readonly: bool = False


MEASURANDS: Final = (
    "Energy.Active.Import.Register",
    "Power.Active.Import",
    "Current.Offered",
    "SoC",
)
"""What the simulated hardware can measure."""

KEYS: Final[Mapping[str, Key]] = {
    "AllowOfflineTxForUnknownId": Key("false", "bool", readonly=True),
    "AuthorizationCacheEnabled": Key("false", "bool", readonly=True),
    "AuthorizeRemoteTxRequests": Key("false", "bool", readonly=True),
    "ClockAlignedDataInterval": Key("0", readonly=True),
    "ConnectionTimeOut": Key("300"),
    "ConnectorPhaseRotation": Key("NotApplicable", "text", readonly=True),
    "GetConfigurationMaxKeys": Key("50", readonly=True),
    "HeartbeatInterval": Key("300"),
    "LocalAuthorizeOffline": Key("false", "bool", readonly=True),
    "LocalPreAuthorize": Key("false", "bool", readonly=True),
    "MeterValuesAlignedData": Key("", "text", readonly=True),
    "MeterValuesSampledData": Key(",".join(MEASURANDS), "measurands"),
    "MeterValueSampleInterval": Key("60"),
    "NumberOfConnectors": Key("1", readonly=True),
    "ResetRetries": Key("0"),
    "StopTransactionOnEVSideDisconnect": Key("true", "bool", readonly=True),
    "StopTransactionOnInvalidId": Key("true", "bool"),
    "StopTxnAlignedData": Key("", "text", readonly=True),
    "StopTxnSampledData": Key("Energy.Active.Import.Register", "text", readonly=True),
    "SupportedFeatureProfiles": Key("Core,SmartCharging,RemoteTrigger", "text", readonly=True),
    "TransactionMessageAttempts": Key("3"),
    "TransactionMessageRetryInterval": Key("60"),
    "UnlockConnectorOnEVSideDisconnect": Key("true", "bool", readonly=True),
    "ChargeProfileMaxStackLevel": Key("8", readonly=True),
    "ChargingScheduleAllowedChargingRateUnit": Key("Current,Power", "text", readonly=True),
    "ChargingScheduleMaxPeriods": Key("500", readonly=True),
    "MaxChargingProfilesInstalled": Key("20", readonly=True),
}

_BY_LOWER: Final = {name.lower(): name for name in KEYS}


class Configuration:
    """The keys with what the CSMS changed; names are case-insensitive, as OCPP's CiString50 says."""

    def __init__(self, changed: Mapping[str, str], connectors: int) -> None:
        self._values = {name: key.default for name, key in KEYS.items()} | dict(changed)
        self._values["NumberOfConnectors"] = str(connectors)

    def number(self, name: str) -> int:
        return int(self._values[name])

    def flag(self, name: str) -> bool:
        return self._values[name] == "true"

    def items(self, name: str) -> frozenset[str]:
        """Give a comma-separated list."""
        return frozenset(_items(self._values[name]))

    def change(self, name: str, value: str) -> tuple[str, str]:
        """Set a key; give the answer's status and the key's own spelling."""
        own = _BY_LOWER.get(name.lower())
        if own is None:
            return "NotSupported", name
        key = KEYS[own]
        value = value.strip().lower() if key.kind == "bool" else value
        if key.readonly or not _fits(key.kind, value):
            return "Rejected", own
        self._values[own] = value
        return "Accepted", own

    def value(self, name: str) -> str:
        """Give one value; the name must be a key's own spelling."""
        return self._values[name]

    def answer(self, names: list[str]) -> dict[str, object]:
        """Give GetConfiguration's answer; no names means all keys."""
        wanted = names or list(KEYS)
        known = [_BY_LOWER[name.lower()] for name in wanted if name.lower() in _BY_LOWER]
        return {
            "configurationKey": [
                {"key": name, "readonly": KEYS[name].readonly, "value": self._values[name]} for name in known
            ],
            "unknownKey": [name for name in wanted if name.lower() not in _BY_LOWER],
        }


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _fits(kind: str, value: str) -> bool:
    if kind == "int":
        return value.isdecimal() and len(value) <= 9
    if kind == "measurands":
        return all(measurand in MEASURANDS for measurand in _items(value))
    return kind == "text" or value in ("true", "false")
