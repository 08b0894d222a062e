"""How charges of a wallet stand now: by their operator, else by the tab on the chain, else as last heard."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from evmesh.app.operator_client import OperatorClient
from evmesh.app.wallet_book import Charge, ChargeBook, Stage
from evmesh.app.wallet_place import Place
from evmesh.domain.chain import Tab
from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import Address
from evmesh.domain.money import parse_units
from evmesh.domain.sessions import TERMINAL, State, Way
from evmesh.ledger.escrow import TabReader

_OVER: Final = frozenset(state.value for state in TERMINAL)


async def refresh(
    place: Place, account: Address, book: ChargeBook, charges: Iterable[Charge]
) -> list[Charge]:
    """Give the charges as they stand now. What is new of one that has ended is kept.

    One that is open is another program's to write.
    """
    api, tabs, found = place.api, dict[Address, Tab](), list[Charge]()
    for one in charges:
        if not one.session or one.state in _OVER or one.payee != place.payee.text:
            found.append(one)
            continue
        heard = None if api is None else await _heard(api, one)
        escrow = Address.parse(one.escrow) if one.escrow else place.trust.chain.charge_tab
        if heard is None and escrow not in tabs:
            tabs[escrow] = await TabReader(place.rpc, escrow).tab(place.payee, account)
        now = heard or _by_chain(one, tabs[escrow])
        if now != one and now.stage is Stage.ENDED:
            book.save(now)
        found.append(now)
    return found


async def _heard(api: OperatorClient, charge: Charge) -> Charge | None:
    """Ask the operator; None where it is away, or says what cannot be."""
    try:
        said = await api.session(charge.session)
        state = State(str(said["state"])).value
        delivered, cost = int(said["delivered_wh"]), parse_units(said["cost"])
    except (EvmeshError, KeyError, TypeError, ValueError):
        return None
    if charge.receipt:  # what was metered is signed, and no word changes it
        delivered, cost = charge.delivered, charge.cost
    return _with_state(replace(charge, delivered=delivered, cost=cost), state)


def _by_chain(charge: Charge, tab: Tab) -> Charge:
    """Say that a metered charge is settled where its tab shows that it was claimed."""
    claimed = charge.way is not Way.TRANSFER and tab.epoch == charge.epoch
    if charge.state == State.METERED and claimed and tab.spent >= charge.base + charge.cost > charge.base:
        return _with_state(charge, State.SETTLED.value)
    return charge


def _with_state(charge: Charge, state: str) -> Charge:
    note = f"session.{state}" if charge.note == f"session.{charge.state}" else charge.note
    return replace(charge, state=state, note=note)
