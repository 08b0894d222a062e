"""The whole snapshot: what the store holds, what stations say, what the chain says."""

from typing import Any

from evmesh.app.equipment_view import EquipmentView
from evmesh.app.instants import instant
from evmesh.app.observed_view import ObservedView
from evmesh.app.plan_view import MeteredLoad
from evmesh.app.snapshot import Snapshots
from evmesh.domain.ids import Address
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.token import Token
from evmesh.ports import Clock
from evmesh.services.directory import Directory, Operator
from evmesh.services.transitions import Transitions
from evmesh.store.chain import ChainJournal

ANCHORS_SHOWN = 20


class SiteView:
    """Makes the document that the page shows. Raises Unavailable where the chain is away."""

    def __init__(
        self,
        name: str,
        time_zone: str,
        speed: int,
        clock: Clock,
        transitions: Transitions,
        directory: Directory,
        snapshots: Snapshots,
        metered: MeteredLoad,
        rpc: JsonRpc,
        operator: Operator,
        escrow: TabReader,
        token: Token,
        journal: ChainJournal,
        observed: ObservedView,
        equipment: EquipmentView,
    ) -> None:
        self._site = {"name": name, "time_zone": time_zone}
        self._speed = speed
        self._clock = clock
        self._transitions = transitions
        self._directory = directory
        self._snapshots = snapshots
        self._metered = metered
        self._rpc = rpc
        self._operator = operator
        self._escrow = escrow
        self._token = token
        self._journal = journal
        self._observed = observed
        self._equipment = equipment

    async def snapshot(self) -> dict[str, Any]:
        """Give everything."""
        now = self._clock.now()
        mined = await self._journal.newest("anchor", ANCHORS_SHOWN)
        async with self._transitions.read() as unit:
            sessions = await self._snapshots.sessions(unit)
            groups = await self._snapshots.groups(unit)
            refusals = await self._snapshots.refusals(unit)
            anchors = await self._snapshots.anchors(unit, mined)
        for group in groups:
            group["metered"] = await self._metered.of(self._directory.groups[group["name"]], now)
            group["equipment"] = self._equipment.of(self._directory.groups[group["name"]])
            group["observed"] = await self._observed.of(group["name"])
            group["power_w"] += sum(one["power_w"] or 0 for one in group["observed"])
        contracts = self._operator.contracts
        return {
            "site": self._site,
            "now": instant(now),
            "speed": self._speed,
            "chain": {
                "chain_id": contracts.chain_id,
                "block": await self._rpc.block_number(),
                "contracts": {
                    "registry": contracts.registry.text,
                    "charge_tab": contracts.charge_tab.text,
                    "notary": contracts.notary.text,
                    "token": contracts.token.text,
                },
            },
            "groups": groups,
            "sessions": sessions,
            "refusals": refusals,
            "balances": await self._balances([one["payer"] for one in sessions]),
            "anchors": anchors,
        }

    async def _balances(self, payers: list[str]) -> dict[str, Any]:
        payee = self._operator.payee.address
        newest_first = list(dict.fromkeys(payers))
        tabs = await self._escrow.tabs(payee, [Address(payer) for payer in newest_first])
        earned, paid_out = await self._escrow.account(payee)
        return {
            "operator": {
                "address": payee.text,
                "earned": str(earned - paid_out),
                "paid_out": str(await self._token.balance(payee)),
            },
            "escrow": str(await self._token.balance(self._escrow.contract)),
            "drivers": [
                {"payer": payer, "spent": str(tab.spent), "ceiling": str(tab.ceiling)}
                for payer, tab in zip(newest_first, tabs, strict=True)
            ],
        }
