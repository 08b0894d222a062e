"""The moneys that charges are paid in, each with the escrow that holds it: who needs one asks by the session.

A session is of one money from its request to its last claim. Which one, the driver chooses by signing the
request in that escrow's domain; here its address leads to what moves the money.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session
from evmesh.ports import DriverRelay, Escrow, FlexBurner, RefillClaims


@dataclass(frozen=True, slots=True)
class Money:
    """One money: the address of its escrow, and what reads and moves it.

    `balance_of` gives the units that an account holds outside the escrow. `refills` claims rows that also
    pull a tab up; without it such sessions are claimed plainly. `burner` is there where what comes in is
    the operator's own promise, which ends when it is kept.
    """

    address: Address
    escrow: Escrow
    relay: DriverRelay
    balance_of: Callable[[Address], Awaitable[int]]
    refills: RefillClaims | None = None
    burner: FlexBurner | None = None
    symbol: str = ""
    """How amounts of it are marked for people; the site's own is not."""

    def words(self, units: int) -> str:
        """Give an amount in units, for people."""
        return f"{units} units of {self.symbol}" if self.symbol else f"{units} units"


class Escrows:
    """All moneys of one operator; the first is the site's own."""

    def __init__(self, *moneys: Money) -> None:
        self._own = moneys[0]
        self._by_address = {one.address: one for one in moneys}

    def __iter__(self) -> Iterator[Money]:
        return iter(self._by_address.values())

    def of(self, session: Session) -> Money:
        """Give what a session is paid in."""
        return self._by_address[session.terms.escrow]

    def at(self, address: Address) -> Money:
        """Give what an escrow of ours holds."""
        return self._by_address[address]

    def chosen(self, address: Address | None) -> Money:
        """Give what a driver names, the site's own for None; raises InvalidInput `request.unknown_escrow`."""
        if address is None:
            return self._own
        money = self._by_address.get(address)
        if money is None:
            raise InvalidInput(
                "request.unknown_escrow",
                f"{address} is no escrow of this operator",
                do="name charge_tab or flex_tab as the charge point's page gives them, or no escrow",
                path="escrow",
            )
        return money
