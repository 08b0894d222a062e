"""The words of OCMF, in its own spelling (tables 7, 10, 11, 13 to 21 of the specification, 1.0 to 1.4)."""

from enum import StrEnum
from typing import Final


class TimeStatus(StrEnum):
    """How far the clock can be trusted (table 19)."""

    UNKNOWN = "U"
    INFORMATIVE = "I"
    SYNCHRONIZED = "S"
    RELATIVE = "R"


class ReadingReason(StrEnum):
    """Why the meter was read, `TX` (table 7)."""

    BEGIN = "B"
    CHARGING = "C"
    EXCEPTION = "X"
    END = "E"
    END_LOCAL = "L"
    END_REMOTE = "R"
    END_ABORT = "A"
    END_POWER_FAILURE = "P"
    SUSPENDED = "S"
    TARIFF_CHANGE = "T"


ENDS: Final = frozenset(
    {
        ReadingReason.END,
        ReadingReason.END_LOCAL,
        ReadingReason.END_REMOTE,
        ReadingReason.END_ABORT,
        ReadingReason.END_POWER_FAILURE,
    }
)
"""The readings that end a transaction."""


class MeterState(StrEnum):
    """How the meter was when it was read, `ST` (table 10)."""

    NOT_PRESENT = "N"
    OK = "G"
    TIMEOUT = "T"
    DISCONNECTED = "D"
    NOT_FOUND = "R"
    MANIPULATED = "M"
    EXCHANGED = "X"
    INCOMPATIBLE = "I"
    OUT_OF_RANGE = "O"
    SUBSTITUTE = "S"
    OTHER_ERROR = "E"
    READ_ERROR = "F"


class ErrorFlag(StrEnum):
    """What an error has made useless for billing, `EF` (table 7)."""

    ENERGY = "E"
    TIME = "t"


class EnergyUnit(StrEnum):
    """The unit of a register (table 20)."""

    KILOWATT_HOUR = "kWh"
    WATT_HOUR = "Wh"


class ResistanceUnit(StrEnum):
    """The unit of a cable's resistance (table 20)."""

    MILLIOHM = "mOhm"
    MICROOHM = "uOhm"


class CurrentType(StrEnum):
    """What the meter measured (table 21)."""

    AC = "AC"
    DC = "DC"


class UserLevel(StrEnum):
    """How surely the user is known, `IL` (table 11)."""

    NONE = "NONE"
    HEARSAY = "HEARSAY"
    TRUSTED = "TRUSTED"
    VERIFIED = "VERIFIED"
    CERTIFIED = "CERTIFIED"
    SECURE = "SECURE"
    MISMATCH = "MISMATCH"
    INVALID = "INVALID"
    OUTDATED = "OUTDATED"
    UNKNOWN = "UNKNOWN"


LEVEL_ERRORS: Final = frozenset(
    {UserLevel.MISMATCH, UserLevel.INVALID, UserLevel.OUTDATED, UserLevel.UNKNOWN}
)


class UserFlag(StrEnum):
    """By what the user was known, `IF` (tables 13 to 16)."""

    RFID_NONE = "RFID_NONE"
    RFID_PLAIN = "RFID_PLAIN"
    RFID_RELATED = "RFID_RELATED"
    RFID_PSK = "RFID_PSK"
    OCPP_NONE = "OCPP_NONE"
    OCPP_RS = "OCPP_RS"
    OCPP_AUTH = "OCPP_AUTH"
    OCPP_RS_TLS = "OCPP_RS_TLS"
    OCPP_AUTH_TLS = "OCPP_AUTH_TLS"
    OCPP_CACHE = "OCPP_CACHE"
    OCPP_WHITELIST = "OCPP_WHITELIST"
    OCPP_CERTIFIED = "OCPP_CERTIFIED"
    ISO15118_NONE = "ISO15118_NONE"
    ISO15118_PNC = "ISO15118_PNC"
    PLMN_NONE = "PLMN_NONE"
    PLMN_RING = "PLMN_RING"
    PLMN_SMS = "PLMN_SMS"


class UserIdType(StrEnum):
    """What the user's identifier is, `IT` (table 17)."""

    NONE = "NONE"
    DENIED = "DENIED"
    UNDEFINED = "UNDEFINED"
    ISO14443 = "ISO14443"
    ISO15693 = "ISO15693"
    EMAID = "EMAID"
    EVCCID = "EVCCID"
    EVCOID = "EVCOID"
    ISO7812 = "ISO7812"
    CARD_TXN_NR = "CARD_TXN_NR"
    CENTRAL = "CENTRAL"
    CENTRAL_1 = "CENTRAL_1"
    CENTRAL_2 = "CENTRAL_2"
    LOCAL = "LOCAL"
    LOCAL_1 = "LOCAL_1"
    LOCAL_2 = "LOCAL_2"
    PHONE_NUMBER = "PHONE_NUMBER"
    KEY_CODE = "KEY_CODE"


class ChargePointIdType(StrEnum):
    """What the charge point's identifier is, `CT` (table 18); meters in the field also leave it empty."""

    EVSE_ID = "EVSEID"
    CHARGE_BOX = "CBIDC"
    EMPTY = ""
