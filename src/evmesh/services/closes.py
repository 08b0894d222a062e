"""A tab ends at once where both sides agree: the operator co-signs its end, and the rest goes back.

The driver asks by a signed Exit, which an operator that does not answer is left with too. What the
operator signs is the settled amount, no more and no less: so only while no session of the driver is
open. Who would rather pay more than was claimed says so with a voucher. What was signed may be mined until
its deadline, also where no answer came: so it is kept before it is signed, and meanwhile nothing new
stands on the tab.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from evmesh.domain.chain import Mined, SeenTab, Tab
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Exit, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest
from evmesh.ports import Signatures, Unit
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transitions import Transitions

CLOSE_HOLDS: Final = timedelta(minutes=15)
"""How long the operator's word may be mined: then its gas is wasted, and the tab can be used again."""


class Closes:
    """Ends tabs by agreement, and keeps drivers whose tab is being ended from using it meanwhile."""

    def __init__(
        self,
        transitions: Transitions,
        tabs: TabMemory,
        escrows: Escrows,
        signatures: Signatures,
        operator: Operator,
    ) -> None:
        self._transitions = transitions
        self._tabs = tabs
        self._escrows = escrows
        self._signatures = signatures
        self._operator = operator

    async def close(
        self,
        payer: Address,
        epoch: int,
        amount: int,
        signature: bytes,
        agreed: bytes | None = None,
        escrow: Address | None = None,
    ) -> Mined:
        """End the tab at `amount`; the same close again gives the same transaction.

        `signature` is the payer's Exit of this epoch, `agreed` its Voucher of `amount`, which is needed
        above what is spent. Raises IntegrityFailure `close.wrong_signature`; Refused
        `close.session_open`, `close.other_amount`, `close.other_epoch`, and with the contract's reasons.
        """
        payee, money = self._operator.payee.address, self._escrows.chosen(escrow)
        domain, ref = self._operator.contracts.money(money.address), self._tabs.ref(money.address, payer)
        self._require_signed(domain, payer, Exit(payee, epoch), signature)
        if agreed is not None:
            if amount <= 0:
                raise InvalidInput("close.nothing_agreed", "a voucher of nothing agrees to nothing")
            self._require_signed(domain, payer, Voucher(payee, epoch, amount), agreed)
        seen = await self._tabs.look(money.address, payer)
        deadline = _deadline(seen)
        async with self._transitions.read() as unit:
            await self._require_no_session(unit, payer)
            _require_end(seen.tab, epoch, amount)
            # No session stands on the tab, and from here on none is made: `Requests` asks for this row.
            # Only then is anything signed, since the driver may have it mined when it suits.
            await unit.keep_closing(ref, epoch, deadline)
        key = f"close:{money.address}:{payer}:{epoch}"
        mined = await money.relay.close(payer, epoch, amount, agreed, deadline, key)
        with suppress(Unavailable, Refused):  # seen anew when the chain is asked next
            await self._tabs.look(money.address, payer)
        return mined

    async def _require_no_session(self, unit: Unit, payer: Address) -> None:
        open_here = [one for one in await unit.sessions(open_only=True) if one.terms.payer == payer]
        if open_here:
            raise Refused(
                "close.session_open",
                f"this wallet has an open session: {open_here[0].id}",
                do="wait until it is settled, or stop it",
            )

    def _require_signed(self, domain: Domain, payer: Address, value: TypedStruct, signature: bytes) -> None:
        signed = digest(domain, value, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != payer:
            raise IntegrityFailure(
                "close.wrong_signature",
                "the close is not signed by the tab's payer",
                do="sign the Exit of the tab's present epoch",
                path="order.signature",
            )


def _deadline(seen: SeenTab) -> int:
    """Give until when a Close that is signed now holds; the newest block may be old on a quiet chain."""
    return int((max(seen.seen_at, seen.block_at) + CLOSE_HOLDS).timestamp())


def _require_end(tab: Tab, epoch: int, amount: int) -> None:
    """Refuse what is no end of this tab; of an epoch before it the contract, or the journal, has the word."""
    if epoch > tab.epoch:
        raise Refused(
            "close.other_epoch",
            f"the tab is in epoch {tab.epoch}, not yet in {epoch}",
            do="read the tab again, and sign the Exit of its present epoch",
        )
    if tab.epoch == epoch and not tab.ceiling:  # as the contract says: nothing is signed for it
        raise Refused("tab.nothing_to_close", "there is no money in this tab")
    if tab.epoch == epoch and amount < tab.spent:
        raise Refused(
            "close.other_amount",
            f"{tab.spent} units of this tab are spent, it cannot end at {amount}",
            do="read the tab again",
        )
