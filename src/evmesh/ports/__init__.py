"""What the services need of the world, as Protocols in domain words.

Adapters (`csms`, `ledger`, `store`, `telemetry`, `sim`) implement these; `app/platform.py` joins
them. Read `store.Store` and `stations.ChargePoint` first: a session is a row of the one and a command
to the other. Every method may raise `Unavailable` when what it stands for is away.
"""

from evmesh.ports.crypto import MeterSignatures, Signatures, Signer
from evmesh.ports.ledger import DriverRelay, Escrow, Notary, Registry, TransactionJournal, Wallet
from evmesh.ports.runtime import AsyncService, Checkpoint, Clock, Randomness
from evmesh.ports.stations import ChargePoint, ChargePointEvents
from evmesh.ports.store import Store, Unit
from evmesh.ports.telemetry import FrameCarrier, FrameLine, TelemetryBus, TelemetryStore

__all__ = [
    "AsyncService",
    "ChargePoint",
    "ChargePointEvents",
    "Checkpoint",
    "Clock",
    "DriverRelay",
    "Escrow",
    "FrameCarrier",
    "FrameLine",
    "MeterSignatures",
    "Notary",
    "Randomness",
    "Registry",
    "Signatures",
    "Signer",
    "Store",
    "TelemetryBus",
    "TelemetryStore",
    "TransactionJournal",
    "Unit",
    "Wallet",
]
