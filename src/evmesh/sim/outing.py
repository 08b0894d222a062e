"""One visit as it goes on: where it stands, what was written down, and calls that are tried again.

What drivers of every kind share; the steps themselves are in `asking`, `paying` and `following`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from evmesh.domain.errors import Unavailable
from evmesh.domain.units import W
from evmesh.ports import Broadcasts, Clock, Signatures, TokenSender, Wallet
from evmesh.sim.api_client import ApiClient, Denied, Document
from evmesh.sim.car import Car
from evmesh.sim.config import SimTiming
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.places import Place, Places
from evmesh.sim.progress import Accepted, Progress, Stage
from evmesh.sim.signing import Terms
from evmesh.sim.state import SimState

_T = TypeVar("_T")
_log = structlog.get_logger()


class Goes(Exception):
    """The driver goes without charging; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all drivers share."""

    state: SimState
    places: Places
    api: ApiClient
    clock: Clock
    signatures: Signatures
    timing: SimTiming
    receipts: Path
    channels: Callable[[str], Broadcasts | None] = lambda driver: None
    """Where the car of a driver says what it needs."""
    senders: Callable[[str], TokenSender] | None = None
    """Gives a wallet of its own to a visit that is paid by plain transfer."""


class Outing:
    """One visit; may be dropped and made anew from its progress at any time."""

    def __init__(
        self, around: Surroundings, progress: Progress, wallet: Wallet, misbehaviour: Misbehaviour
    ) -> None:
        self.around = around
        self.progress = progress
        self.wallet = wallet
        self.misbehaviour = misbehaviour
        if progress.connector and progress.stage is not Stage.LEFT:
            around.places.stands(self.place, progress.key)

    @property
    def place(self) -> Place:
        """Where the driver stands."""
        return self.around.places[self.progress.connector]

    @property
    def accepted(self) -> Accepted:
        """The offer that was taken; there is one from stage OFFERED on."""
        if self.progress.accepted is None:
            raise ValueError(f"{self.progress.key} has no offer at stage {self.progress.stage}")
        return self.progress.accepted

    def now(self) -> datetime:
        """Give platform time."""
        return self.around.clock.now()

    async def wait(self, seconds: float) -> None:
        """Let platform time pass."""
        await self.around.clock.sleep_until(self.now() + timedelta(seconds=seconds))

    def save(self, stage: Stage | None = None) -> None:
        """Write down how far the visit is."""
        self.progress.stage = stage or self.progress.stage
        with self.around.state.commit():
            self.progress.save(self.around.state)

    async def page(self, place: Place) -> Document:
        """Read what is to be known of a place before money moves; raises Goes where it is not known."""
        page = await self.or_go(lambda: self.around.api.station(place.code))
        if isinstance(page, Denied):
            raise Goes(page.code)
        return page

    def terms(self, page: Document) -> Terms:
        """Give this driver's hand under the station's contract."""
        return Terms.of_station(self.wallet, self.around.signatures, page, self.progress.money)

    def plug(self) -> None:
        """Put the plug in, once; the car and the driver's memory of it are one commit."""
        progress = self.progress
        if not progress.plugged and not self.misbehaviour.never_plugs:
            with self.around.state.commit():
                self.place.plug(Car.with_room(progress.driver, progress.need, W(progress.max_power)))
                progress.plugged = True
                progress.save(self.around.state)

    def stand_back(self) -> None:
        """Take the plug out and free the place."""
        progress, place = self.progress, self.place
        with self.around.state.commit():
            if progress.plugged:
                progress.received_wh = place.unplug().received
                progress.plugged = False
            progress.ask = None
            progress.save(self.around.state)
        self.around.places.leave(place, progress.key)

    def go(self, stage: Stage, code: str) -> None:
        """Leave the place, saying why."""
        self.progress.note = code
        _log.info("driver.goes", visit=self.progress.key, stage=stage.value, why=code)
        with self.around.state.commit():
            self.progress.stage = stage
            if self.progress.connector:
                self.stand_back()
            self.progress.save(self.around.state)

    async def or_go(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call until it is answered; before money has moved a driver gives up at the departure."""
        answered = await self.patiently(lambda: _boxed(call()), self.progress.departure)
        if answered is None:
            raise Goes("api.away")
        return answered[0]

    async def patiently(self, call: Callable[[], Awaitable[_T]], until: datetime) -> _T | None:
        """Call again while the other side is away, with back-off; None once it is `until`."""
        delay_s = self.around.timing.api_retry_s
        while True:
            try:
                return await call()
            except Unavailable:
                if self.now() >= until:
                    return None
            await self.wait(delay_s)
            delay_s = min(delay_s * 2, self.around.timing.api_retry_max_s)


async def _boxed(call: Awaitable[_T]) -> tuple[_T]:
    """Tell an answer that is None from no answer."""
    return (await call,)
