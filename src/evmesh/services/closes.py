"""A tab ends at once where both sides agree: the operator co-signs its end, and the rest goes back.

The driver asks by a signed Exit, which an operator that does not answer is left with too. What the
operator signs is the settled amount, no more and no less: so only while no session of the driver is
open. Who would rather pay more than was claimed says so with a voucher.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from evmesh.domain.chain import Mined
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_types import Exit, Voucher
from evmesh.domain.typed_data import TypedStruct, digest
from evmesh.ports import DriverRelay, Signatures
from evmesh.services.directory import Operator
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transitions import Transitions


class Closes:
    """Ends tabs by agreement, and keeps drivers whose tab is being ended from using it meanwhile."""

    def __init__(
        self,
        transitions: Transitions,
        tabs: TabMemory,
        relay: DriverRelay,
        signatures: Signatures,
        operator: Operator,
    ) -> None:
        self._transitions = transitions
        self._tabs = tabs
        self._relay = relay
        self._signatures = signatures
        self._operator = operator
        self._closing: dict[Address, int] = {}

    async def close(
        self, payer: Address, epoch: int, amount: int, signature: bytes, agreed: bytes | None = None
    ) -> Mined:
        """End the tab at `amount`; the same close again gives the same transaction.

        `signature` is the payer's Exit of this epoch, `agreed` its Voucher of `amount`, which is needed
        above what is spent. Raises IntegrityFailure `close.wrong_signature`; Refused
        `close.session_open`, `close.other_amount`, and with the contract's reasons.
        """
        payee = self._operator.payee.address
        self._require_signed(payer, Exit(payee, epoch), signature)
        if agreed is not None:
            if amount <= 0:
                raise InvalidInput("close.nothing_agreed", "a voucher of nothing agrees to nothing")
            self._require_signed(payer, Voucher(payee, epoch, amount), agreed)
        with self._closed_to(payer):
            await self._require_no_session(payer)
            seen = await self._tabs.look(payer)
            tab = seen.tab
            if tab.epoch == epoch and tab.ceiling and amount < tab.spent:
                raise Refused(
                    "close.other_amount",
                    f"{tab.spent} units of this tab are spent, it cannot end at {amount}",
                    do="read the tab again",
                )
            # From here on it may be gone: whoever relies on what was seen last has to see that it goes.
            leaving = replace(seen, tab=replace(tab, exit_at=tab.exit_at or int(seen.seen_at.timestamp())))
            async with self._transitions.read() as unit:
                await unit.remember_tab(payee, payer, leaving)
            mined = await self._relay.close(payer, epoch, amount, agreed, f"close:{payer}:{epoch}")
            with suppress(Unavailable, Refused):  # seen anew when the chain is asked next
                await self._tabs.look(payer)
            return mined

    def require_not_closing(self, payer: Address) -> None:
        """Raise Refused `tab.closing` where the driver's tab is being ended just now."""
        if payer in self._closing:
            raise Refused("tab.closing", "the tab of this wallet is being closed", do="try again in a moment")

    async def require_tab_of(self, session: SessionId) -> None:
        """Raise Refused `tab.closing` where the tab that pays for a session is being ended just now."""
        if self._closing:
            async with self._transitions.read() as unit:
                found = await unit.session(session)
            if found is not None:
                self.require_not_closing(found.terms.payer)

    @contextmanager
    def _closed_to(self, payer: Address) -> Iterator[None]:
        """Let nothing new stand on the tab while the block runs.

        A session made later has passed the guard before, so it is not paid yet: its voucher meets the guard.
        """
        self._closing[payer] = self._closing.get(payer, 0) + 1
        try:
            yield
        finally:
            self._closing[payer] -= 1
            if not self._closing[payer]:
                del self._closing[payer]

    async def _require_no_session(self, payer: Address) -> None:
        async with self._transitions.read() as unit:
            open_here = [one for one in await unit.sessions(open_only=True) if one.terms.payer == payer]
        if open_here:
            raise Refused(
                "close.session_open",
                f"this wallet has an open session: {open_here[0].id}",
                do="wait until it is settled, or stop it",
            )

    def _require_signed(self, payer: Address, value: TypedStruct, signature: bytes) -> None:
        signed = digest(self._operator.domain, value, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != payer:
            raise IntegrityFailure(
                "close.wrong_signature",
                "the close is not signed by the tab's payer",
                do="sign the Exit of the tab's present epoch",
                path="order.signature",
            )
