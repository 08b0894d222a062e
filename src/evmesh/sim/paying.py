"""Securing the money by signatures: the tab is raised, then a voucher is handed over."""

from typing import Final

from evmesh.sim.api_client import Denied, Document
from evmesh.sim.asking import MOST_ASKS
from evmesh.sim.filling import fill_tab
from evmesh.sim.outing import Goes, Outing
from evmesh.sim.progress import Stage
from evmesh.sim.signing import Terms

_TOO_LATE: Final = frozenset({"reservation.ended", "session.wrong_state"})
"""The promise had ended before it was paid; what was deposited is in the tab for the next one."""


class Paying:
    """Hands over the first voucher of one visit."""

    def __init__(self, outing: Outing) -> None:
        self._outing = outing

    async def pay(self, cumulative: int) -> bool:
        """Raise the tab to what the offer needs, then hand over a voucher of this total.

        False where the promise had ended by then: the driver is to ask anew, once. Raises Goes.
        """
        outing, progress, accepted = self._outing, self._outing.progress, self._outing.accepted
        page = await outing.page(outing.place)
        terms = outing.terms(page)
        for _ in range(MOST_ASKS):
            await self._deposit(page, terms)
            progress.signed = max(progress.signed, cumulative)
            outing.save()  # what is signed is known before anybody has it
            answer = await self._send(accepted.session, terms.voucher_document(accepted, cumulative))
            if not isinstance(answer, Denied):
                progress.paid_at = outing.now()
                outing.save(Stage.PAID)
                return True
            if answer.code in _TOO_LATE and progress.refusals + 1 < MOST_ASKS:
                progress.refusals += 1
                progress.ask = progress.accepted = None
                progress.signed = 0
                outing.save(Stage.ARRIVED)
                return False
            if answer.code != "voucher.underfunded":
                raise Goes(answer.code)
        raise Goes("voucher.underfunded")

    async def _send(self, session: str, document: Document) -> Document | Denied:
        return await self._outing.or_go(lambda: self._outing.around.api.voucher(session, document))

    async def _deposit(self, page: Document, terms: Terms) -> None:
        """Have the tab hold what is owed at most; a deposit that is refused shows when the voucher is."""
        accepted = self._outing.accepted
        await fill_tab(self._outing, page, terms.payee_of(accepted), accepted.base + accepted.budget)
