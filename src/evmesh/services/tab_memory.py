"""What was last seen of drivers' tabs: a site whose chain is away goes on with it, for a while.

A tab can only lose what it holds by a close, which the operator signs itself, or by an exit, which
takes a window that the contract fixes. So what a block said of a tab stays true, as far as money is
there to be claimed, for less than that window; with what has been metered on it since taken off.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from evmesh.domain.chain import SeenTab, Tab
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ports import Clock, Escrow, Unit
from evmesh.services.directory import Operator
from evmesh.services.transitions import Transitions

CLAIM_MARGIN: Final = timedelta(hours=2)
"""How long before the window could have run out nothing is delivered any more: time to stop, to meter,
and to bring the claim onto the chain."""

NEVER_SEEN: Final = "tab.never_seen"
SEEN_TOO_LONG_AGO: Final = "tab.seen_too_long_ago"
"""The codes of what cannot be decided without the chain: the same may work when it is back."""

_FRESH_ENOUGH: Final = timedelta(minutes=10)
"""Further vouchers of a session are taken on what was seen no longer ago: `TabWatch` looks more often."""


class TabMemory:
    """Reads tabs, and remembers what it read."""

    def __init__(self, transitions: Transitions, clock: Clock, escrow: Escrow, operator: Operator) -> None:
        self._transitions = transitions
        self._clock = clock
        self._escrow = escrow
        self._operator = operator

    async def look(self, payer: Address) -> SeenTab:
        """Give the payer's tab as the chain says, or as it was seen last where the chain is away.

        Raises Unavailable `tab.never_seen` or `tab.seen_too_long_ago` where what is remembered is not enough.
        """
        payee = self._operator.payee.address
        try:
            now = self._clock.now()
            block_at = datetime.fromtimestamp(await self._escrow.block_time(), UTC)
            tab = await self._escrow.tab(payee, payer)
            seen = SeenTab(tab, now, block_at, await self._escrow.window())
        except Unavailable as away:
            return await self._remembered(payer, away)
        async with self._transitions.read() as unit:
            await unit.remember_tab(payee, payer, seen)
        return seen

    async def require_not_closing(self, unit: Unit, payer: Address, seen: SeenTab) -> None:
        """Raise Refused `tab.closing` where a Close of this very tab was signed and may still be mined.

        Only a block's own time tells that one is too late: the next block's is no earlier.
        """
        payee = self._operator.payee.address
        until = await unit.closing_until(payee, payer, seen.tab.epoch)
        if until is not None and seen.block_at.timestamp() <= until:
            over = f"{datetime.fromtimestamp(until, UTC):%H:%M} UTC"
            raise Refused(
                "tab.closing",
                "the tab of this wallet is being closed",
                do=f"try again when the close is mined, or after {over}",
            )

    async def require_cover(self, payer: Address, epoch: int, cumulative: int) -> None:
        """Raise Refused unless the payer's tab covers this total in this epoch.

        Of a tab that was seen lately and covers it the chain is not asked again.
        """
        async with self._transitions.read() as unit:
            known = await unit.tab_seen(self._operator.payee.address, payer)
        lately = known is not None and known.seen_at + _FRESH_ENOUGH > self._clock.now()
        if known is None or not lately or not covers(known.tab, epoch, cumulative):
            known = await self.look(payer)
        if not covers(known.tab, epoch, cumulative):
            tab = known.tab
            raise Refused(
                "voucher.underfunded",
                f"the escrow holds {tab.ceiling - tab.spent} units for this in epoch {tab.epoch}, "
                f"the voucher is for {max(0, cumulative - tab.spent)} in epoch {epoch}",
                do="deposit the difference, then send the voucher again",
            )

    async def _remembered(self, payer: Address, away: Unavailable) -> SeenTab:
        async with self._transitions.read() as unit:
            known = await unit.tab_seen(self._operator.payee.address, payer)
            owed = 0 if known is None else await unit.owed_on_tab(payer, known.tab.epoch)
        if known is None:
            raise Unavailable(
                NEVER_SEEN,
                "the operator cannot ask the chain at present, and has never seen this wallet's tab",
                do="pay at a station of the operator once while its uplink works, or try again later",
            ) from away
        if trusted_until(known) <= self._clock.now():
            raise Unavailable(
                SEEN_TOO_LONG_AGO,
                f"the operator cannot ask the chain at present, and saw this tab last at "
                f"{known.seen_at:%Y-%m-%d %H:%M} UTC: it may have been left since",
                do="try again when the operator's uplink works",
            ) from away
        tab = known.tab
        spent = min(max(tab.spent, owed), tab.ceiling)
        return replace(known, tab=replace(tab, spent=spent))


def trusted_until(seen: SeenTab) -> datetime:
    """Give until when energy may flow on what was seen: an exit may have begun right after."""
    return seen.seen_at + timedelta(seconds=seen.window_s) - CLAIM_MARGIN


def covers(tab: Tab, epoch: int, cumulative: int) -> bool:
    """Tell whether a voucher for this total can be claimed of the tab, as far as it is known."""
    return tab.epoch == epoch and not tab.exit_at and tab.ceiling >= cumulative
