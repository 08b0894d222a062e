"""What the page shows, as one JSON document: groups, sessions, refusals, balances, anchors."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from evmesh.app.instants import instant
from evmesh.app.payment_view import PaymentView
from evmesh.app.plan_view import plan_view
from evmesh.app.power_view import PowerView, power_view
from evmesh.domain.caps import Cap
from evmesh.domain.chain import JournaledTransaction
from evmesh.domain.flex_voucher import EarnedReward
from evmesh.domain.ids import SessionId
from evmesh.domain.money import cost_of
from evmesh.domain.readings import METER_STREAM
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import OCCUPYING, PLUGGED, PROMISED, JournalRow, Session, State
from evmesh.domain.settlement import Settlement
from evmesh.domain.station_code import code_of
from evmesh.domain.stations import Connector, ConnectorStatus
from evmesh.domain.units import W
from evmesh.ports import Clock, Unit
from evmesh.services.caps import GroupCaps
from evmesh.services.directory import Directory, Group, Operator, Place
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.promises import DIMMED

Json = dict[str, Any]
SESSIONS_SHOWN = 50
REFUSALS_SHOWN = 20


class Snapshots:
    """Reads the store and the live state into what clients see."""

    def __init__(
        self,
        clock: Clock,
        directory: Directory,
        operator: Operator,
        live: LiveState,
        planner: Planner,
        caps: GroupCaps,
        time_zone: str = "UTC",
    ) -> None:
        """`time_zone` is that of the clocks at the charge points."""
        self._time_zone = time_zone
        self._caps = caps
        self._payment = PaymentView(directory)
        self._clock = clock
        self._directory = directory
        self._operator = operator
        self._live = live
        self._planner = planner

    async def sessions(self, unit: Unit) -> list[Json]:
        """Give the newest sessions with their timelines."""
        return await self.shown(unit, await unit.sessions(open_only=False, limit=SESSIONS_SHOWN))

    async def shown(self, unit: Unit, sessions: Sequence[Session]) -> list[Json]:
        """Give these sessions as their drivers see them."""
        ids = [one.id for one in sessions]
        journals = await unit.journals(ids)
        receipts = await unit.documented(ids, Receipt.FORMAT)
        settlements = await unit.documented(ids, Settlement.FORMAT)
        rewards = await unit.rewards_of(ids)
        return [
            self._session(one, journals[one.id])
            | {"receipt": one.id in receipts, "settlement": one.id in settlements}
            | {"reward": _reward(rewards.get(one.id))}
            for one in sessions
        ]

    def _session(self, session: Session, journal: Sequence[JournalRow]) -> Json:
        terms = session.terms
        flow = PowerView(W(0), None, None)
        if session.state in PLUGGED:
            connector = self._directory.by_asset(terms.asset).connector
            flow = power_view(
                self._live.connector(terms.connector), connector, _since(session), self._clock.now()
            )
        return {
            "id": session.id.text,
            "state": session.state.value,
            "code": code_of(terms.asset),
            "charge_point": terms.connector.station.text,
            "connector": terms.connector.connector,
            "payer": terms.payer.text,
            "way": terms.way.value,
            "arrival": instant(terms.arrival),
            "departure": instant(terms.departure),
            "energy_wh": terms.energy,
            "delivered_wh": session.delivered,
            **_flow(flow),
            "price": terms.price,
            "cost": str(min(cost_of(session.delivered, terms.price), terms.budget)),
            "budget": str(terms.budget),
            "due": None if session.due is None else str(session.due),
            "uncollected": str(session.uncollected),
            "started_at": instant(session.started_at),
            "stopped_at": instant(session.stopped_at),
            "cause": session.cause,
            "flags": list(session.flags),
            "short_wh": self._short(session),
            "wanted_wh": self._live.said_wanted(session.id),
            "reason": self._reason(session, flow),
            "plan": session.plan_sha256 or None,
            "timeline": [_event(row) for row in journal],
            **self._payment.members(session),
        }

    async def groups(self, unit: Unit) -> list[Json]:
        """Give every group with its charge points and its plan."""
        now = self._clock.now()
        occupied = {
            one.terms.connector: one for one in await unit.sessions(open_only=True) if one.state in OCCUPYING
        }
        found = []
        for group in self._directory.groups.values():
            points = [self._charge_point(place, occupied.get(place.connector.ref)) for place in group.places]
            newest = await self._planner.current(unit, group.name)
            running = await self._planner.running(unit, group.name, now)
            found.append(
                {
                    "name": group.name,
                    "capacity_w": group.capacity,
                    "cap": self._cap(group, now),
                    "dispatch": self._dispatch(group),
                    "power_w": sum(point["power_w"] for point in points),
                    "charge_points": points,
                    "plan": plan_view(running, newest, group, now),
                }
            )
        return found

    async def refusals(self, unit: Unit) -> list[Json]:
        """Give the newest refusals with their offers."""
        return [
            {
                "number": one.number,
                "at": instant(one.at),
                "code": code_of(one.asset),
                "energy_wh": one.energy,
                "departure": instant(one.departure),
                "deficit_wh": one.deficit,
                "steps": len(one.steps),
                "from": instant(one.begins),
                "until": instant(one.ends),
                "offers": [{"energy_wh": wh, "departure": instant(at)} for wh, at in one.offers],
            }
            for one in await unit.refusals(REFUSALS_SHOWN)
        ]

    async def anchors(self, unit: Unit, mined: Sequence[JournaledTransaction]) -> list[Json]:
        """Give the newest anchors with the heads they published."""
        found = []
        for one in mined:
            session = SessionId.parse(one.key.removeprefix("anchor:"))
            head, stored = await unit.head_of(session), await unit.session(session)
            if head is not None and stored is not None and one.outcome is not None:
                found.append(
                    {
                        "at": instant(stored.stopped_at),
                        "stream": METER_STREAM.rstrip(b"\0").decode(),
                        "size": head[0],
                        "root": "0x" + head[1].hex(),
                        "tx_hash": one.tx_hash,
                        "block": one.outcome.block,
                    }
                )
        return found

    def station(self, place: Place, session: Session | None) -> Json:
        """Give one charge point as a driver who typed its code sees it."""
        connector = place.connector
        contracts = self._operator.contracts
        point = self._charge_point(place, session)
        return point | {
            "asset": place.asset,
            "latitude_udeg": connector.latitude_udeg,
            "longitude_udeg": connector.longitude_udeg,
            "deposit_address": place.deposit_address.text,
            "payee": self._operator.payee.address.text,
            "min_deposit": str(self._operator.min_deposit),
            "chain": {
                "chain_id": contracts.chain_id,
                "registry": contracts.registry.text,
                "charge_tab": contracts.charge_tab.text,
                "notary": contracts.notary.text,
                "token": contracts.token.text,
                "flex_tab": contracts.flex_tab.text,
                "flex": contracts.flex.text,
            },
            "now": instant(self._clock.now()),
            "time_zone": self._time_zone,
        }

    def _reason(self, session: Session, flow: PowerView) -> str:
        """Say in one word why the power is what it is; the word is a translation key."""
        if session.state not in (State.CHARGING, State.SUSPENDED):
            return session.state.value
        if flow.exceeds:
            return "above_limit"
        if flow.limit == 0:
            if self._is_full(session):
                return "waiting_for_capacity"
            return "waiting_for_price" if session.terms.flexible else "waiting_for_turn"
        if session.cause == ConnectorStatus.SUSPENDED_EV:
            return "car_takes_no_more"
        if flow.at is None and session.state is State.CHARGING:
            return "not_measured_yet"
        if flow.limit is not None and flow.power * 100 < flow.limit * 95:
            return "car_limit"
        return "planned"

    def _short(self, session: Session) -> int:
        """Give what of its promise a session will not have by the newest plan, or did not have for a cap."""
        if session.state in PROMISED:
            lack = self._planner.lack(session)
            return 0 if lack is None else lack.wh
        return max(0, session.terms.energy - session.delivered) if DIMMED in session.flags else 0

    def _cap(self, group: Group, now: datetime) -> Json | None:
        """Give the cap that lowers a group at present: to what, by whom, until when, and why."""
        cap = self._caps.binding(group, now)
        return None if cap is None else _said(cap, self._caps.capacity(group, now))

    def _dispatch(self, group: Group) -> Json | None:
        """Give what the newest dispatch placed of the plan, and how far from the best it is at most."""
        placed = self._live.placed.get(group.name)
        if placed is None:
            return None
        return {
            "at": instant(placed.at),
            "due_wh": placed.due_wh,
            "placed_wh": placed.placed_wh,
            "bound_wh": placed.bound_wh,
            "gap_wh": placed.gap_wh,
        }

    def _cap_at(self, connector: Connector) -> Json | None:
        """Give the cap of one charge point's own that lowers it at present."""
        group, now = self._directory.groups.get(connector.group), self._clock.now()
        cap = None if group is None else self._caps.binding_at(group, connector, now)
        if group is None or cap is None:
            return None
        return _said(cap, self._caps.rating(group, connector, now))

    def _source(self, connector: Connector, flow: PowerView) -> str | None:
        """Give who set the limits that a charge point holds."""
        profile = self._live.connector(connector.ref).profile
        return profile.source if profile is not None and flow.limit is not None else None

    def _is_full(self, session: Session) -> bool:
        """Tell whether the group's limits leave less than the least that a car can charge with."""
        place = self._directory.by_asset(session.terms.asset)
        group = self._directory.groups.get(place.connector.group)
        if group is None:
            return False  # its charge point has left the site
        now, given = self._clock.now(), 0
        for other in group.places:
            profile = self._live.connector(other.connector.ref).profile
            given += (profile.limit_at(now) or 0) if profile else 0
        return self._caps.capacity(group, now) - given < place.connector.least_power

    def _charge_point(self, place: Place, session: Session | None) -> Json:
        connector = place.connector
        live = self._live.connector(connector.ref)
        online = connector.ref.station in self._live.online
        charging = online and live.status is ConnectorStatus.CHARGING
        flow = power_view(live, connector, _since(session), self._clock.now())
        if not charging:  # the station says that nothing flows, or nobody knows
            flow = PowerView(W(0), flow.limit, None)
        return {
            "code": place.code,
            "name": place.name,
            "evse_id": connector.evse_id.text,
            "charge_point": connector.ref.station.text,
            "connector": connector.ref.connector,
            "rating_w": connector.rating,
            "price": connector.price,
            "status": (live.status or ConnectorStatus.UNAVAILABLE).value if online else "Unavailable",
            "online": online,
            **_flow(flow),
            "limit_source": self._source(connector, flow),
            "cap": self._cap_at(connector),
            "soc_percent": live.sample.soc_percent if live.sample else None,
            "session": session.id.text if session else None,
        }


def _since(session: Session | None) -> datetime | None:
    """Give since when a car charges or pauses: what was measured before that is of another state."""
    flowing = session is not None and session.state in (State.CHARGING, State.SUSPENDED)
    return session.changed_at if session is not None and flowing else None


def _said(cap: Cap, power: W) -> Json:
    return {
        "power_w": power,
        "source": cap.by,
        "since": instant(cap.starts_at),
        "until": instant(cap.expires_at),
        "reason": cap.reason,
    }


def _flow(flow: PowerView) -> Json:
    return {
        "power_w": flow.power,
        "limit_w": flow.limit,
        "exceeds_limit": flow.exceeds,
        "measured_at": instant(flow.at),
    }


def _reward(reward: EarnedReward | None) -> Json | None:
    """Give what a session's flexibility earned, once that is final; `is_made` where the FLEX is there."""
    if reward is None:
        return None
    return {
        "units": str(reward.units),
        "cumulative": str(reward.cumulative),
        "day": reward.day,
        "is_made": reward.is_made,
        "tx_hash": reward.made.tx_hash if reward.made else None,
    }


def _event(row: JournalRow) -> Json:
    return {
        "at": instant(row.at),
        "event": row.event.value,
        "source": row.source.value if row.source else None,
        "target": row.target.value,
        "cause": row.cause,
    }
