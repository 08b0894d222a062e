"""What a driver is told before anything is signed: what each side can lose if the other does its worst."""

from evmesh.app.wallet_book import Charge
from evmesh.domain.sessions import Way
from evmesh.domain.streaming import StreamRules
from evmesh.domain.units import Wh

_RULES = StreamRules()


def worst_case(charge: Charge) -> list[str]:
    """Give the lines on risk for a way to pay; computed here, whatever the operator says of it."""
    operator = _up(_RULES.uncovered_at_most(charge.rating_of()), charge.price)
    match charge.way:
        case Way.PREPAID:
            beyond = _up(Wh(_RULES.uncovered_at_most(charge.rating_of()) - _RULES.step), charge.price)
            return [
                f"your risk  {charge.money(charge.max_cost)}: the operator could claim all of it; more than "
                "was metered is provable from the receipt",
                f"its risk   {charge.money(beyond)}: what flows until it notices that the budget is used",
            ]
        case Way.STREAMING:
            step = min(_up(_RULES.step, charge.price), charge.max_cost)
            return [
                f"your risk  {charge.money(step)}: 100 Wh, paid before they flow",
                f"its risk   {charge.money(operator)}: 100 Wh, and what flows until it stops",
            ]
        case Way.TRANSFER:
            return [
                f"your risk  {charge.money(charge.max_cost)}: the operator itself holds it meanwhile",
                "its risk   none: it is paid before energy flows",
            ]


def _up(energy: Wh, price: int) -> int:
    return -(-energy * price // 1000)
