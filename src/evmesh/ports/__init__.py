"""What the services need of the world, as Protocols in domain words.

Adapters (`csms`, `ledger`, `store`, `telemetry`, `sim`) implement these; `app/platform.py` joins
them. Read `store.Store` and `stations.ChargePoint` first: a session is a row of the one and a command
to the other. Every method may raise `Unavailable` when what it stands for is away.
"""

from evmesh.ports.assets import Announcer, StatusBoard
from evmesh.ports.caps import CapUnit
from evmesh.ports.channels import Broadcasts, ChannelStates, ChannelStep, Hear, Listening
from evmesh.ports.crypto import MeterSignatures, Signatures, Signer
from evmesh.ports.equipment import EquipmentUnit
from evmesh.ports.invoices import InvoiceUnit
from evmesh.ports.ledger import DriverRelay, Escrow, Notary, Registry, TokenSender, TransactionJournal, Wallet
from evmesh.ports.rewards import FlexBurner, FlexIssuer, RewardUnit
from evmesh.ports.runtime import AsyncService, Checkpoint, Clock, Randomness
from evmesh.ports.stations import ChargePoint, ChargePointEvents
from evmesh.ports.store import Store, Unit
from evmesh.ports.streams import StreamUnit
from evmesh.ports.tabs import RefillClaims, TabUnit
from evmesh.ports.telemetry import (
    Commands,
    FrameCarrier,
    FrameLine,
    TelemetryBus,
    TelemetryHistory,
    TelemetryStore,
    Uplink,
    UplinkLine,
)
from evmesh.ports.transfers import DepositChain, TransferUnit

__all__ = [
    "Announcer",
    "AsyncService",
    "Broadcasts",
    "CapUnit",
    "ChannelStates",
    "ChannelStep",
    "ChargePoint",
    "ChargePointEvents",
    "Checkpoint",
    "Clock",
    "Commands",
    "DepositChain",
    "DriverRelay",
    "EquipmentUnit",
    "Escrow",
    "FlexBurner",
    "FlexIssuer",
    "FrameCarrier",
    "FrameLine",
    "Hear",
    "InvoiceUnit",
    "Listening",
    "MeterSignatures",
    "Notary",
    "Randomness",
    "RefillClaims",
    "Registry",
    "RewardUnit",
    "Signatures",
    "Signer",
    "StatusBoard",
    "Store",
    "StreamUnit",
    "TabUnit",
    "TelemetryBus",
    "TelemetryHistory",
    "TelemetryStore",
    "TokenSender",
    "TransactionJournal",
    "TransferUnit",
    "Unit",
    "Uplink",
    "UplinkLine",
    "Wallet",
]
