"""Putting money into a driver's tab: signed by the wallet, sent by the operator's relayer."""

from datetime import timedelta
from typing import Final

from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.sim.api_client import Document
from evmesh.sim.outing import Goes, Outing
from evmesh.sim.signing import deposit_document

DEPOSIT_VALID: Final = timedelta(hours=1)


async def fill_tab(outing: Outing, page: Document, payee: Address, ceiling: int) -> None:
    """Sign and relay what raises the tab to `ceiling`, at least what is worth the relayer's gas.

    Raises Goes where the wallet does not hold so much. What the relayer refuses shows in the next answer.
    """
    least = int(page.get("min_deposit", 0))
    deadline = int((outing.now() + DEPOSIT_VALID).timestamp())
    try:
        order = await outing.or_go(lambda: outing.wallet.deposit_order(payee, ceiling, deadline, least=least))
    except Refused as refused:
        raise Goes(refused.code) from refused
    if order is not None:
        await outing.or_go(lambda: outing.around.api.relay(deposit_document(order, outing.terms(page))))
