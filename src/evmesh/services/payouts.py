"""What was claimed is paid out to the operator's account, once an hour and not for every session."""

from datetime import timedelta

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.ports import Clock, Escrow
from evmesh.services.directory import Operator

_log = structlog.get_logger(__name__)
EVERY = timedelta(hours=1)


class Payouts:
    """Runs until cancelled."""

    name = "payouts"

    def __init__(self, clock: Clock, escrow: Escrow, operator: Operator) -> None:
        self._clock = clock
        self._escrow = escrow
        self._operator = operator

    async def run(self) -> None:
        """Pay out what there is, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.now() + EVERY)
            try:
                await self._pay_out()
            except EvmeshError as error:
                _log.warning("payout.failed", code=error.code, what=error.what)  # the next hour tries again

    async def _pay_out(self) -> None:
        earned, paid = await self._escrow.account(self._operator.payee.address)
        if earned > paid:
            # The sum earned names the payout: sent again after a crash it is the same one.
            await self._escrow.payout(key=f"payout:{earned}")
