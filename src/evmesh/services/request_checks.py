"""What is looked at of a request before a plan is made for it: its times, and whether it could be paid."""

from datetime import UTC, datetime, timedelta

from evmesh.domain.chain import SeenTab
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.domain.money import cost_of
from evmesh.domain.offer_times import REQUEST_VALID
from evmesh.domain.signed_types import ChargeRequest
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Wh
from evmesh.services.directory import Place
from evmesh.services.escrows import Money
from evmesh.services.plan_in_force import step_start
from evmesh.services.plans import START_ALLOWANCE

LONGEST_STAY = timedelta(days=7)
MIN_BUDGET = 100_000
"""Token units below which a session is not worth the gas of its claim."""


def check_times(request: ChargeRequest, now: datetime) -> None:
    """Refuse a departure or a deadline that no plan can hold; raises InvalidInput with the member."""
    if request.energy_wh == 0:
        raise InvalidInput("request.no_energy", "the request asks for 0 Wh", path="request.energy_wh")
    if not now.timestamp() <= request.deadline <= (now + REQUEST_VALID).timestamp():
        raise InvalidInput(
            "request.deadline",
            "the request's own deadline has passed, or is more than an hour ahead",
            do="sign it again with a deadline within the next hour of the platform's time",
            path="request.deadline",
        )
    departure = datetime.fromtimestamp(min(request.departure, 2**33), UTC)
    if departure <= now:
        raise InvalidInput(
            "request.departure_in_past",
            f"the departure {departure:%Y-%m-%d %H:%M} UTC is not after now, {now:%Y-%m-%d %H:%M} UTC",
            do="state when you will really leave",
            path="request.departure",
        )
    soonest = step_start(now + START_ALLOWANCE) + timedelta(seconds=2 * STEP_S)
    if departure < soonest:
        raise InvalidInput(
            "request.departure_too_soon",
            "no whole quarter of an hour is left until that departure",
            do=f"state a departure from {soonest:%H:%M} UTC on",
            path="request.departure",
        )
    if departure > now + LONGEST_STAY:
        raise InvalidInput(
            "request.departure_too_late",
            "the departure is more than seven days ahead",
            path="request.departure",
        )


async def check_money(place: Place, request: ChargeRequest, seen: SeenTab, money: Money) -> None:
    """Refuse who could not pay: a reservation keeps others away.

    Where the chain is away, only what was seen in the tab counts.
    """
    budget = cost_of(Wh(request.energy_wh), place.connector.price)
    if budget < MIN_BUDGET:
        raise InvalidInput(
            "request.too_small",
            f"{request.energy_wh} Wh cost {money.words(budget)}; settling that would cost more in gas",
            do=f"ask for at least {MIN_BUDGET} units' worth",
            path="request.energy_wh",
        )
    at_hand = seen.tab.ceiling - seen.tab.spent
    if seen.is_fresh:
        at_hand += await money.balance_of(request.payer)
    if at_hand < budget and not seen.is_fresh:
        raise Unavailable(
            "wallet.unseen",
            f"the chain is away, so only the tab counts: it held {at_hand} units, this needs {budget}",
            do="ask for less energy, or try again when the operator's uplink works",
        )
    if at_hand < budget:
        raise Refused(
            "wallet.too_little",
            f"this needs {money.words(budget)}, and the wallet and its tab hold {at_hand}",
            do="fill the wallet, or ask for less energy",
        )
