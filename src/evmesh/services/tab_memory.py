"""What was last seen of drivers' tabs: a site whose chain is away goes on with it, for a while.

A tab can only lose what it holds by a close, which the operator signs itself, or by an exit, which
takes a window that the contract fixes. So what a block said of a tab stays true, as far as money is
there to be claimed, for less than that window; with what has been metered on it since taken off.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from evmesh.domain.chain import SeenTab, Tab, TabRef
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import ChargeTerms
from evmesh.ports import Clock, Unit
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows
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

    def __init__(self, transitions: Transitions, clock: Clock, escrows: Escrows, operator: Operator) -> None:
        self._transitions = transitions
        self._clock = clock
        self._escrows = escrows
        self._operator = operator

    async def look(self, escrow: Address, payer: Address) -> SeenTab:
        """Give the payer's tab as the chain says, or as it was seen last where the chain is away.

        Raises Unavailable `tab.never_seen` or `tab.seen_too_long_ago` where what is remembered is not enough.
        """
        ref, asked = self.ref(escrow, payer), self._escrows.at(escrow).escrow
        try:
            now = self._clock.now()
            block_at = datetime.fromtimestamp(await asked.block_time(), UTC)
            tab = await asked.tab(ref.payee, payer)
            seen = SeenTab(tab, now, block_at, await asked.window())
        except Unavailable as away:
            return await self._remembered(ref, away)
        async with self._transitions.read() as unit:
            await unit.remember_tab(ref, seen)
        return seen

    def ref(self, escrow: Address, payer: Address) -> TabRef:
        """Give which of the operator's tabs that is."""
        return TabRef(escrow, self._operator.payee.address, payer)

    async def require_not_closing(self, unit: Unit, ref: TabRef, seen: SeenTab) -> None:
        """Raise Refused `tab.closing` where a Close of this very tab was signed and may still be mined.

        Only a block's own time tells that one is too late: the next block's is no earlier.
        """
        until = await unit.closing_until(ref, seen.tab.epoch)
        if until is not None and seen.block_at.timestamp() <= until:
            over = f"{datetime.fromtimestamp(until, UTC):%H:%M} UTC"
            raise Refused(
                "tab.closing",
                "the tab of this wallet is being closed",
                do=f"try again when the close is mined, or after {over}",
            )

    async def require_cover(self, terms: ChargeTerms, cumulative: int) -> None:
        """Raise Refused unless the tab that a charge is paid by covers this total in its epoch.

        Of a tab that was seen lately and covers it the chain is not asked again.
        """
        epoch = terms.epoch
        async with self._transitions.read() as unit:
            known = await unit.tab_seen(self.ref(terms.escrow, terms.payer))
        lately = known is not None and known.seen_at + _FRESH_ENOUGH > self._clock.now()
        if known is None or not lately or not covers(known.tab, epoch, cumulative):
            known = await self.look(terms.escrow, terms.payer)
        if not covers(known.tab, epoch, cumulative):
            tab = known.tab
            raise Refused(
                "voucher.underfunded",
                f"the escrow holds {tab.ceiling - tab.spent} units for this in epoch {tab.epoch}, "
                f"the voucher is for {max(0, cumulative - tab.spent)} in epoch {epoch}",
                do="deposit the difference, then send the voucher again",
            )

    async def _remembered(self, ref: TabRef, away: Unavailable) -> SeenTab:
        async with self._transitions.read() as unit:
            known = await unit.tab_seen(ref)
            owed = 0 if known is None else await unit.owed_on_tab(ref, known.tab.epoch)
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
