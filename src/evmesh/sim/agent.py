"""A car with a wallet: it asks, pays per 100 Wh while energy flows, and stops paying when that stops.

It finds the station by its code, as any driver, signs no voucher above what `domain.stream_guard` allows
by the car's own clock and battery, and tells on an encrypted channel what it still needs.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.channel import Channel
from evmesh.domain.channel_messages import CarNeed
from evmesh.domain.errors import EvmeshError, ProtocolViolation, Unavailable
from evmesh.domain.money import Price
from evmesh.domain.stream_guard import Distrust, Pay, StreamGuard
from evmesh.domain.units import W, Wh
from evmesh.ports import Broadcasts, Wallet
from evmesh.sim.api_client import Denied, Document
from evmesh.sim.driver import Driver
from evmesh.sim.following import NOT_ANY_MORE, OVER
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.outing import Surroundings
from evmesh.sim.progress import Progress, Stage
from evmesh.sim.signing import Terms

_log = structlog.get_logger()

NEED_CHANNEL: Final = "need"
NO_ENERGY_FOR: Final = timedelta(minutes=15)
"""How long a charge may give nothing before the car ends it; one that the station paused may wait."""

TELL_EVERY_S: Final = 300
_LOOK_EVERY_S: Final = 30
_LAST_BILL_WITHIN_S: Final = 120
"""How long a car that has said stop waits to pay what was metered last."""


class Agent(Driver):
    """One car on one visit. What it signed is written down before anybody gets it."""

    def __init__(
        self, around: Surroundings, progress: Progress, wallet: Wallet, misbehaviour: Misbehaviour
    ) -> None:
        super().__init__(around, progress, wallet, misbehaviour)
        self._looking = asyncio.Lock()
        self._state = ""
        self._why = ""
        self._guard: StreamGuard | None = None
        self._terms: Terms | None = None

    def first_voucher(self) -> int:
        """Give the total that secures the start: 100 Wh, or all where this wallet has to pay ahead."""
        return super().first_voucher() if self.outing.accepted.pays_ahead else self._own_guard().first()

    async def charge(self) -> None:
        """Plug in, pay as it flows, say what is needed, leave when it is time or something is wrong."""
        if self.outing.accepted.pays_ahead:
            await super().charge()
            return
        self.outing.plug()
        async with asyncio.TaskGroup() as group:
            paying = group.create_task(self._pay_as_it_flows())
            others = [
                group.create_task(self._watch(paying)),
                group.create_task(self._tell_need()),
            ]
            await asyncio.wait([paying])
            for one in others:
                one.cancel()
        why = self._why if paying.cancelled() else paying.result()
        if why and self._state not in OVER | NOT_ANY_MORE:
            await self.following.say_stop()
        elif not why:
            await self.outing.around.clock.sleep_until(self.outing.progress.departure)
        self.outing.go(Stage.LEFT, why)

    async def _pay_as_it_flows(self) -> str:
        """Follow the session and sign what is owed until it ends; give what was wrong, if anything."""
        outing = self.outing
        delay_s: float = outing.around.timing.api_retry_s
        while True:
            try:
                async for event in outing.around.api.events(outing.accepted.session):
                    delay_s = outing.around.timing.api_retry_s
                    async with self._looking:
                        why = await self._look(event)
                    if why is not None:
                        return why
            except Unavailable:
                pass  # the station stops where vouchers are missing: nothing is lost meanwhile
            except EvmeshError as error:
                return error.code
            await outing.wait(delay_s)
            delay_s = min(delay_s * 2, outing.around.timing.api_retry_max_s)

    async def _look(self, event: Document) -> str | None:
        """Hold what the station says against what the car knows; None while all is well and it goes on."""
        metered, wanted = self._read(event)
        if self._state in NOT_ANY_MORE:
            return f"session.{self._state}"
        guard, car = self._own_guard(), self.outing.place.car
        received = None if car is None else car.received
        decision = guard.look(self._elapsed(), metered, wanted, self.outing.progress.signed, received)
        if isinstance(decision, Distrust):
            _log.warning("agent.distrusts", session=self.outing.accepted.session, code=decision.code)
            return decision.code
        if isinstance(decision, Pay) and (why := await self._sign(decision.cumulative)):
            return why
        return "" if self._state in OVER else None

    def _read(self, event: Document) -> tuple[Wh, int]:
        accepted = self.outing.accepted
        try:
            self._state = str(event["state"])
            told = (int(event["epoch"]), int(event["base"]), int(event["budget"]))
            metered, wanted = Wh(int(event["metered_wh"])), int(event["wanted_cumulative"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation("api.bad_event", "the session's event cannot be read") from error
        if told != (accepted.epoch, accepted.base, accepted.budget):
            raise ProtocolViolation("stream.other_terms", "the session's terms are not those of the offer")
        return metered, wanted

    async def _sign(self, cumulative: int) -> str:
        """Hand over a voucher; gives why it was refused, if that ends the payment."""
        outing, accepted, behaviour = self.outing, self.outing.accepted, self.outing.misbehaviour
        if behaviour.withholds_vouchers:
            return ""
        if behaviour.overpays:
            cumulative = accepted.base + accepted.budget + 1
        if behaviour.replays_vouchers:
            cumulative = outing.progress.signed
        terms = await self._hand()
        if terms is None:
            return "station.unknown"
        outing.progress.signed = cumulative
        outing.save()
        document = terms.voucher_document(accepted, cumulative)
        answer = await outing.around.api.voucher(accepted.session, document)
        if isinstance(answer, Denied) and answer.code != "voucher.too_late":
            return answer.code
        return ""

    async def _hand(self) -> Terms | None:
        """Give the car's hand under the station's contract; None where the station is not known any more."""
        if self._terms is None:
            page = await self.outing.around.api.station(self.outing.place.code)
            if isinstance(page, Denied):
                return None
            self._terms = self.outing.terms(page)
        return self._terms

    async def _watch(self, paying: "asyncio.Task[str]") -> None:
        """Say stop at the departure, and pay to the end; end it where nothing has flowed for long."""
        outing = self.outing
        while outing.now() < outing.progress.departure:
            if self._state == "charging" and self._own_guard().stalled(self._elapsed()) > NO_ENERGY_FOR:
                self._why = "stream.no_energy"
                break
            next_look = outing.now() + timedelta(seconds=_LOOK_EVERY_S)
            await outing.around.clock.sleep_until(min(next_look, outing.progress.departure))
        else:
            await self.following.say_stop()
            await outing.wait(_LAST_BILL_WITHIN_S)
        async with self._looking:  # a voucher that is on its way arrives
            paying.cancel()

    async def _tell_need(self) -> None:
        """Say on an own channel what the car needs, now and then; the operator is let in to hear it."""
        channels = self.outing.around.channels(self.outing.progress.driver)
        if channels is None:
            return
        name = f"{NEED_CHANNEL} {self.outing.accepted.session}"
        channel = await channels.begin(name)
        while not await self._let_in(channels, name, channel):
            await self.outing.wait(_LOOK_EVERY_S)
        while True:
            await channels.say({name: self._need().encode()})
            await self.outing.wait(TELL_EVERY_S)

    async def _let_in(self, channels: Broadcasts, name: str, channel: Channel) -> bool:
        """Grant the operator access, and tell it where the channel is; False to try again later."""
        outing = self.outing
        try:
            keys = await outing.around.api.channels()
            if isinstance(keys, Denied) or (terms := await self._hand()) is None:
                return True  # nobody listens here: what is said lies there all the same
            grant = await channels.admit(name, bytes.fromhex(str(keys["inbox"]).removeprefix("0x")))
            document = terms.need_document(outing.accepted.session, channel, grant)
            answer = await outing.around.api.need(outing.accepted.session, document)
        except Unavailable:
            return False
        except (EvmeshError, KeyError, ValueError) as error:
            _log.warning("agent.unheard", session=outing.accepted.session, why=str(error))
            return True
        if isinstance(answer, Denied):
            _log.warning("agent.unheard", session=outing.accepted.session, why=answer.code)
        return True

    def _need(self) -> CarNeed:
        outing, car = self.outing, self.outing.place.car
        wanted = outing.progress.requested if outing.progress.ask is None else outing.progress.ask.energy
        return CarNeed(
            at=outing.now(),
            energy=Wh(max(0, wanted - (car.received if car else 0))),
            soc_percent=None if car is None else car.soc_percent,
            departure=outing.progress.stated_departure,
        )

    def _own_guard(self) -> StreamGuard:
        if self._guard is None:
            accepted = self.outing.accepted
            price, rating = Price(accepted.price), W(accepted.rating)
            self._guard = StreamGuard(price, accepted.base, accepted.budget, rating)
        return self._guard

    def _elapsed(self) -> timedelta:
        paid_at: datetime = self.outing.progress.paid_at or self.outing.now()
        return self.outing.now() - paid_at
