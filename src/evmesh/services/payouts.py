"""What was claimed is paid out to the operator's account, on the hour and not for every session.

FLEX that comes back is the operator's own promise, kept: it is destroyed as soon as it is paid out, and frees
the cap that bounds what the operator may promise.
"""

from datetime import timedelta

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.ports import Clock
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows, Money

_log = structlog.get_logger(__name__)
EVERY = timedelta(hours=1)


class Payouts:
    """Runs until cancelled."""

    name = "payouts"

    def __init__(self, clock: Clock, escrows: Escrows, operator: Operator) -> None:
        self._clock = clock
        self._escrows = escrows
        self._operator = operator

    async def run(self) -> None:
        """Pay out what there is, for ever."""
        while True:
            soon = self._clock.now() + EVERY  # the full hour, so that who restarts often is paid as well
            await self._clock.sleep_until(soon.replace(minute=0, second=0, microsecond=0))
            for money in self._escrows:
                try:
                    await self.pay_out(money)
                except EvmeshError as error:  # the next hour tries again
                    _log.warning("payout.failed", escrow=money.address.text, code=error.code, what=error.what)

    async def pay_out(self, money: Money) -> None:
        """Pay out what was claimed in one money; what is then in hand of the operator's FLEX is destroyed."""
        payee = self._operator.payee.address
        earned, paid = await money.escrow.account(payee)
        if earned > paid:
            # The sum earned names the payout: sent again after a crash it is the same one.
            await money.escrow.payout(key=f"payout:{money.address}:{earned}")
        if money.burner is not None:
            _, paid = await money.escrow.account(payee)  # also by what others had paid out
            await money.burner.burn_up_to(paid)
