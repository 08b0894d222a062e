"""One driver on one visit: asks, pays, plugs in, waits, leaves, and keeps the receipt.

Each step is written down before the next, so a device that lost power goes on where it was: the same
request with the same nonce, the same voucher, the same plug. How it asks is in `asking.py`, how it pays
in `paying.py`, what it does at the plug in `following.py`. `agent.py` is a car that does it by itself.
"""

from evmesh.domain.errors import IntegrityFailure, ProtocolViolation
from evmesh.ports import Wallet
from evmesh.sim.asking import Asking
from evmesh.sim.following import Following
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.outing import Goes, Outing, Surroundings
from evmesh.sim.paying import Paying
from evmesh.sim.progress import Progress, Stage


class Driver:
    """Runs one visit to its end; may be cancelled and made anew from its progress at any time."""

    def __init__(
        self, around: Surroundings, progress: Progress, wallet: Wallet, misbehaviour: Misbehaviour
    ) -> None:
        self.outing = Outing(around, progress, wallet, misbehaviour)
        self._asking = Asking(self.outing)
        self._paying = Paying(self.outing)
        self.following = Following(self.outing)

    async def run(self) -> None:
        """Go on from wherever the visit is."""
        progress = self.outing.progress
        try:
            if progress.stage in (Stage.ARRIVED, Stage.ASKED):
                await self._asking.find_a_charge()
            if progress.stage is Stage.OFFERED and not await self._paying.pay(self.first_voucher()):
                await self._asking.find_a_charge()
                await self._paying.pay(self.first_voucher())
            if progress.stage is Stage.PAID:
                await self.charge()
        except Goes as goes:
            self.outing.go(Stage.GONE, goes.code)
        except (IntegrityFailure, ProtocolViolation) as failure:
            paid = progress.stage is Stage.PAID
            self.outing.go(Stage.LEFT if paid else Stage.GONE, failure.code)
        if progress.stage is Stage.LEFT:
            await self.following.keep_receipt()

    def first_voucher(self) -> int:
        """Give the total that secures the start: all that can be owed."""
        return self.outing.accepted.base + self.outing.accepted.budget

    async def charge(self) -> None:
        """Be there while it charges, and leave."""
        await self.following.charge()
