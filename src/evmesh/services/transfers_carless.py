"""Which transfers may hold a charge point before a car is there: nobody holds it for a fee again and again.

A charge by transfer holds its charge point for five minutes without a car, and then costs its sender
the fee of a return, which is gas and little else. So only some may be waited for at a time, and nobody
is waited for again where cars have not come before. Who plugs in first is held up by none of this.
"""

from datetime import timedelta
from typing import Final

from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session, State, StopCause, Way
from evmesh.domain.stations import ConnectorStatus
from evmesh.services.directory import Directory, Place
from evmesh.services.live import LiveState
from evmesh.services.transitions import Work

PLUG_IN_FIRST: Final = "transfer.plug_in_first"

_MOST: Final = 2
_WINDOW: Final = timedelta(hours=1)
"""How many charges of one sender, or at one charge point, may have ended without a car within which time."""

_CAUSES: Final = frozenset({"no_car", StopCause.DRIVER.value})
"""Why a charge ends without a car by its sender's doing, as the caretaker and a signed stop say it."""


class CarlessTransfers:
    """Says whether a transfer may be waited for."""

    def __init__(self, directory: Directory, live: LiveState) -> None:
        self._directory = directory
        self._live = live

    async def check(self, work: Work, place: Place, sender: Address) -> None:
        """Raise Refused `transfer.plug_in_first` where there is no car, and none is waited for."""
        if self._has_car(place):
            return
        await self._check_ended(work, place, sender)
        await self._check_group(work, place)

    async def _check_ended(self, work: Work, place: Place, sender: Address) -> None:
        ended = [
            one for one in await work.unit.refunded_transfers(work.now - _WINDOW) if one.cause in _CAUSES
        ]
        theirs = [one for one in ended if one.terms.payer == sender]
        here = [one for one in ended if one.terms.asset == place.asset]
        if max(len(theirs), len(here)) >= _MOST:
            raise _plug_in_first(f"no car came to {_MOST} charges of this wallet, or here, within an hour")

    async def _check_group(self, work: Work, place: Place) -> None:
        places = {one.asset: one for one in self._directory.groups[place.connector.group].places}
        waited_for = [
            one
            for one in await work.unit.sessions(open_only=True)
            if one.terms.asset in places and _may_begin(one) and not self._has_car(places[one.terms.asset])
        ]
        if len(waited_for) >= max(1, len(places) // 2):
            raise _plug_in_first(f"{len(waited_for)} of {len(places)} charge points wait for a car already")

    def _has_car(self, place: Place) -> bool:
        return self._live.connector(place.connector.ref).status is ConnectorStatus.PREPARING


def _may_begin(session: Session) -> bool:
    return session.terms.way is Way.TRANSFER and session.state in (State.FUNDED, State.STARTING)


def _plug_in_first(what: str) -> Refused:
    return Refused(PLUG_IN_FIRST, what, do="plug the car in, then pay")
