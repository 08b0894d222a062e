"""Payloads that a station sends, OCPP 1.6 chapter 6, built from what the hardware shows."""

from datetime import datetime
from typing import Any

from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Wh
from evmesh.sim.config import SimStation
from evmesh.sim.evse import Evse, Transaction
from evmesh.sim.signing_meter import SigningMeter

Payload = dict[str, Any]


def wire_time(instant: datetime) -> str:
    """Write UTC in whole seconds."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def boot_notification(station: SimStation) -> Payload:
    """Say who the station is; OCPP cuts the texts at 20, 20, 25 and 50 characters."""
    return {
        "chargePointVendor": station.vendor[:20],
        "chargePointModel": station.model[:20],
        "chargePointSerialNumber": station.serial[:25],
        "firmwareVersion": station.firmware[:50],
    }


def status_notification(connector: int, status: ConnectorStatus, at: datetime) -> Payload:
    """Tell one connector's status; connector 0 is the station itself."""
    return {
        "connectorId": connector,
        "errorCode": "NoError",
        "status": status.value,
        "timestamp": wire_time(at),
    }


def start_transaction(evse: Evse, transaction: Transaction, at: datetime) -> Payload:
    """Tell a start with the register as it was then."""
    return {
        "connectorId": evse.number,
        "idTag": transaction.id_tag,
        "meterStart": transaction.meter_start,
        "timestamp": wire_time(at),
    }


def stop_transaction(
    evse: Evse, transaction: Transaction, began: datetime, at: datetime, reason: str
) -> Payload:
    """Tell an end with the register as it is now; the CSMS's transaction id is put in when it is sent.

    A meter that signs adds its own record of the whole charge.
    """
    register = evse.record.meter.register
    ends = [_register(register, "Transaction.End")]
    if evse.connector.signing_serial:
        meter = SigningMeter(evse.connector.signing_serial)
        record = meter.charge(transaction.local, (began, transaction.meter_start), (at, register))
        ends.append(ends[0] | {"format": "SignedData", "value": record})
    return {
        "idTag": transaction.id_tag,
        "meterStop": register,
        "timestamp": wire_time(at),
        "reason": reason,
        "transactionData": [
            _meter_value(began, [_register(transaction.meter_start, "Transaction.Begin")]),
            _meter_value(at, ends),
        ],
    }


def meter_values(evse: Evse, at: datetime, context: str, register: Wh, measurands: frozenset[str]) -> Payload:
    """Tell those of register, power, offered current and state of charge that are asked for.

    The state of charge is there where a car is; the register is always told, as no sample may be empty.
    """
    samples = [
        _register(register, context),
        _sample(evse.power(), "Power.Active.Import", "W", context, "Outlet"),
        _sample_milli(evse.offered(), "Current.Offered", "A", context),
    ]
    if evse.record.car is not None:
        samples.append(_sample(evse.record.car.soc_percent, "SoC", "Percent", context, "EV"))
    samples = [samples[0], *(sample for sample in samples[1:] if sample["measurand"] in measurands)]
    return {"connectorId": evse.number, "meterValue": [_meter_value(at, samples)]}


def _meter_value(at: datetime, samples: list[Payload]) -> Payload:
    return {"timestamp": wire_time(at), "sampledValue": samples}


def _register(register: Wh, context: str) -> Payload:
    return _sample(register, "Energy.Active.Import.Register", "Wh", context, "Outlet")


def _sample(value: int, measurand: str, unit: str, context: str, location: str) -> Payload:
    return {
        "value": str(value),
        "context": context,
        "measurand": measurand,
        "location": location,
        "unit": unit,
    }


def _sample_milli(value: int, measurand: str, unit: str, context: str) -> Payload:
    """Write thousandths of a unit as a decimal."""
    whole, rest = divmod(value, 1000)
    return _sample(0, measurand, unit, context, "Outlet") | {"value": f"{whole}.{rest:03d}"}
