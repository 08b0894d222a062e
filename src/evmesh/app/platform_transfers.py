"""Joins what takes plain token transfers: the deposit addresses' keys, the watch, the payments out."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from evmesh.app.transfer_routes import LOOKUPS_PER_ADDRESS, TransferViews, add_transfers
from evmesh.app.transfer_site import TransferConfig
from evmesh.ledger.deposits import RETURN_GAS, DepositAddresses
from evmesh.ledger.keys import deposit_signer
from evmesh.ledger.networks import network_of
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.token import Token
from evmesh.ports import AsyncService, Signatures
from evmesh.services.directory import Directory, Operator
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.receipts import Receipts
from evmesh.services.requests import Requests
from evmesh.services.settlements import Settlements
from evmesh.services.transfers import Transfers
from evmesh.services.transfers_open import DepositDesk
from evmesh.services.transfers_payout import DepositPayouts, DepositReturns
from evmesh.services.transfers_settle import DepositSettling
from evmesh.services.transfers_terms import TransferTermsDesk
from evmesh.services.transfers_watch import TransferWatch
from evmesh.services.transitions import Transitions


@dataclass(frozen=True, slots=True)
class TransferWorld:
    """What transfers need of the platform. `block` is that of the contracts."""

    config: TransferConfig
    transitions: Transitions
    directory: Directory
    operator: Operator
    signatures: Signatures
    live: LiveState
    planner: Planner
    requests: Requests
    receipts: Receipts
    settlements: Settlements
    token: Token
    relayer: Relayer
    operator_secret: bytes
    block: int
    confirmations: int | None
    """As the site file wants for all transactions; None: as the chain's profile says."""


@dataclass(frozen=True, slots=True)
class TransferParts:
    """What the platform needs of transfers."""

    settling: DepositSettling
    views: TransferViews
    services: tuple[AsyncService, ...]

    @property
    def routes(self) -> Callable[[FastAPI], None]:
        """Give what adds the routes."""
        return lambda app: add_transfers(app, self.views)


def open_transfers(world: TransferWorld) -> TransferParts:
    """Derive the key of every deposit address, and join the services."""
    signers = {
        signer.address: signer
        for place in world.directory.all_places
        if (signer := deposit_signer(world.operator_secret, place.connector.evse_id)).address
        == place.deposit_address
    }
    finality = world.confirmations or network_of(world.operator.contracts.chain_id).confirmations
    policy = world.config.policy(finality)
    chain = DepositAddresses(world.relayer.rpc, world.token, world.relayer, signers)
    payouts = DepositPayouts(world.transitions, world.directory, world.operator, chain, world.signatures)
    transfers = Transfers(
        world.transitions,
        world.directory,
        world.planner,
        world.requests,
        chain,
        world.signatures,
        secrets.token_bytes,
        policy,
        RETURN_GAS,
        world.live,
        TransferTermsDesk(world.transitions, world.directory, world.operator, world.receipts.sign),
        DepositDesk(world.operator, world.receipts.sign),
    )
    watch = TransferWatch(
        world.transitions, world.directory, chain, transfers, world.live, from_block=world.block
    )
    asked = RelayQuota(RelayPolicy(requests=LOOKUPS_PER_ADDRESS), world.transitions.clock)
    returns = DepositReturns(world.transitions, payouts)
    return TransferParts(
        settling=DepositSettling(payouts, world.settlements),
        views=TransferViews(world.transitions, world.directory, transfers, chain, asked),
        services=(watch, returns),
    )
