"""Who may be promised a charge point before the money is there: nobody holds all of them for nothing.

Money in a driver's tab cannot be taken away for a day, and a wallet has one session at a time: a
promise against it costs something. Money in a wallet can be shown by one key after the other. So
promises against it are few in every group, end sooner, and are not given again and again to who
lets them end unpaid. Who deposits first is not held up by any of this.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import format_units
from evmesh.domain.sessions import RESERVATION_TTL, UNSECURED_TTL, Session, State
from evmesh.services.directory import Directory, Place
from evmesh.services.transitions import Work

MOST_UNPAID_OF_PAYER: Final = 2
PAYER_WINDOW: Final = timedelta(minutes=10)
MOST_UNPAID_OF_SOURCE: Final = 20
SOURCE_WINDOW: Final = timedelta(minutes=30)
"""How many promises of one wallet, or one network address, may have ended unpaid within which time."""

_MOST_SOURCES: Final = 10_000


def time_to_pay(*, is_secured: bool) -> timedelta:
    """Give how long a promise stands unpaid."""
    return RESERVATION_TTL if is_secured else UNSECURED_TTL


class Reservations:
    """Counts promises that nobody has paid for; which address asked is forgotten with the process."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._source_of: dict[SessionId, str] = {}

    async def check(self, work: Work, place: Place, payer: Address, budget: int, source: str) -> None:
        """Say whether a promise may be given to a driver whose tab does not hold the money.

        Raises Refused `reservation.too_many_unpaid` or `reservation.unpaid_before`, with when to ask again.
        """
        await self._check_group(work, place, budget)
        ended = await work.unit.expired(work.now - SOURCE_WINDOW)
        since = work.now - PAYER_WINDOW
        mine = [one for one in ended if one.terms.payer == payer and one.changed_at > since]
        _check_ended(mine, MOST_UNPAID_OF_PAYER, PAYER_WINDOW, budget, "this wallet")
        theirs = [one for one in ended if source and self._source_of.get(one.id) == source]
        _check_ended(theirs, MOST_UNPAID_OF_SOURCE, SOURCE_WINDOW, budget, "your network address")

    def note(self, session: SessionId, source: str) -> None:
        """Remember who asked; beyond 10 000 the oldest is forgotten."""
        if source:
            self._source_of[session] = source
            while len(self._source_of) > _MOST_SOURCES:
                del self._source_of[next(iter(self._source_of))]

    async def _check_group(self, work: Work, place: Place, budget: int) -> None:
        name = place.connector.group
        here = {one.connector.ref for one in self._directory.groups[name].places}
        unpaid = [
            one
            for one in await work.unit.sessions(open_only=True)
            if one.terms.connector in here and _is_unsecured(one)
        ]
        if len(unpaid) < max(1, len(here) // 2):
            return
        raise Refused(
            "reservation.too_many_unpaid",
            f"{len(unpaid)} of {len(here)} charge points of {name} are promised to drivers who are still"
            " to pay, and no more may be",
            do=_deposit_or(budget, min(one.deadline or work.now for one in unpaid)),
        )


def _is_unsecured(session: Session) -> bool:
    """Tell whether a promise stands against a wallet: it has less time."""
    return (
        session.state is State.RESERVED
        and session.deadline is not None
        and session.deadline - session.created_at < RESERVATION_TTL
    )


def _check_ended(ended: Sequence[Session], most: int, window: timedelta, budget: int, whose: str) -> None:
    if len(ended) < most:
        return
    oldest_that_counts = sorted(one.changed_at for one in ended)[-most]
    raise Refused(
        "reservation.unpaid_before",
        f"{len(ended)} promises to {whose} have ended unpaid within {window // timedelta(minutes=1)} minutes",
        do=_deposit_or(budget, oldest_that_counts + window),
    )


def _deposit_or(budget: int, again: datetime) -> str:
    return f"deposit {format_units(budget)} in your tab first, or ask again after {again:%H:%M:%S} UTC"
