"""A session's status as its readers are told it: the same words and numbers that the HTTP API shows."""

from datetime import datetime, timedelta

from evmesh.app.snapshot import Snapshots
from evmesh.domain.channel_messages import SessionStatus
from evmesh.domain.sessions import PLUGGED, PROMISED, Session
from evmesh.domain.units import W
from evmesh.ports import Clock, Unit
from evmesh.services.channel_sessions import finish_of
from evmesh.services.directory import Directory
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner


class SessionStatuses:
    """Makes statuses of what is stored, planned and live."""

    def __init__(
        self, clock: Clock, snapshots: Snapshots, directory: Directory, planner: Planner, live: LiveState
    ) -> None:
        self._clock = clock
        self._snapshots = snapshots
        self._directory = directory
        self._planner = planner
        self._live = live

    async def status(self, unit: Unit, session: Session) -> SessionStatus:
        """Give how a session is now."""
        [shown] = await self._snapshots.shown(unit, [session])
        sample = self._live.connector(session.terms.connector).sample
        plugged = session.state in PLUGGED
        return SessionStatus(
            at=self._clock.now().replace(microsecond=0),
            session=session.id,
            state=session.state,
            power=W(max(0, shown["power_w"])),
            limit=shown["limit_w"],
            energy=session.delivered,
            soc_percent=sample.soc_percent if plugged and sample is not None else None,
            cost=int(shown["cost"]),
            finish_at=session.stopped_at or await self._finish(unit, session),
            reason=shown["reason"],
        )

    async def _finish(self, unit: Unit, session: Session) -> datetime | None:
        """Give when the newest plan has the energy there."""
        if session.state not in PROMISED:
            return None
        group = self._directory.by_asset(session.terms.asset).connector.group
        plan = await self._planner.current(unit, group)
        if plan is None:
            return None
        pseudonym = plan.stored.pseudonyms.get(session.id.text)
        row = next((row for row in plan.schedule.rows if row.id == pseudonym), None)
        if row is None:
            return None
        grid = plan.problem.grid
        planned = [row.at(number) for number in range(row.end)]
        end = finish_of(planned, grid.start, timedelta(seconds=grid.step_s))
        return None if end is None else min(end, session.terms.departure)
