"""The whole snapshot: what the store holds, what stations say, what the chain says."""

from dataclasses import dataclass
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

Json = dict[str, Any]
ANCHORS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class MoneyReader:
    """One money as the page shows it: the tabs of its escrow, and its token."""

    tabs: TabReader
    token: Token


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
        own: MoneyReader,
        flex: MoneyReader,
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
        self._own = own
        self._flex = flex
        self._journal = journal
        self._observed = observed
        self._equipment = equipment

    async def snapshot(self) -> Json:
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
                    "flex_tab": contracts.flex_tab.text,
                    "flex": contracts.flex.text,
                },
            },
            "groups": groups,
            "sessions": sessions,
            "refusals": refusals,
            "balances": await self._balances(sessions),
            "anchors": anchors,
        }

    async def _balances(self, sessions: list[Json]) -> Json:
        """Give what is held, earned and paid out in each money; FLEX that was paid out is destroyed."""
        payee = self._operator.payee.address
        own, (paid, drivers) = self._own, await self._tabs_of(self._own.tabs, sessions)
        flex, (kept, holders) = self._flex, await self._tabs_of(self._flex.tabs, sessions)
        return {
            "operator": {
                "address": payee.text,
                "earned": str(paid[0] - paid[1]),
                "paid_out": str(await own.token.balance(payee)),
            },
            "escrow": str(await own.token.balance(own.tabs.contract)),
            "drivers": drivers,
            "flex": {
                "earned": str(kept[0] - kept[1]),
                "paid_out": str(kept[1]),
                "escrow": str(await flex.token.balance(flex.tabs.contract)),
                "drivers": holders,
            },
        }

    async def _tabs_of(self, reader: TabReader, sessions: list[Json]) -> tuple[tuple[int, int], list[Json]]:
        """Give what the operator earned and was paid in one money, and whose tabs it came from."""
        payee, escrow = self._operator.payee.address, reader.contract.text
        newest_first = list(dict.fromkeys(one["payer"] for one in sessions if one["escrow"] == escrow))
        tabs = await reader.tabs(payee, [Address(payer) for payer in newest_first])
        shown = [
            {"payer": payer, "spent": str(tab.spent), "ceiling": str(tab.ceiling)}
            for payer, tab in zip(newest_first, tabs, strict=True)
        ]
        return await reader.account(payee), shown
