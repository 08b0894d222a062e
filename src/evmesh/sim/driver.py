"""One driver on one visit: asks, pays, plugs in, waits, leaves, and keeps the receipt.

Each step is written down before the next, so a device that lost power goes on where it was: the same
request with the same nonce, the same voucher, the same plug. Half of the drivers plug in before
they ask, some are not flexible, some leave without a word: which ones follows from the visit's name.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from evmesh.domain.errors import IntegrityFailure, ProtocolViolation, Refused, Unavailable
from evmesh.domain.money import Price, cost_of
from evmesh.domain.units import W, Wh
from evmesh.ports import Clock, Signatures, Wallet
from evmesh.sim.api_client import ApiClient, Denied, Document
from evmesh.sim.car import Car
from evmesh.sim.config import SimTiming
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.places import Place, Places
from evmesh.sim.progress import Accepted, Ask, Progress, Stage
from evmesh.sim.signing import Terms, deposit_document
from evmesh.sim.state import SimState

_T = TypeVar("_T")
_log = structlog.get_logger()

REQUEST_VALID: Final = timedelta(minutes=10)
DEPOSIT_VALID: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(minutes=30)
"""How long a driver waits for a free place, or for the own last session to be settled."""
_LOOK_AGAIN: Final = timedelta(minutes=2)
_STOP_PATIENCE: Final = timedelta(minutes=2)
_MOST_ASKS: Final = 2
_ELSEWHERE: Final = frozenset(
    {
        "connector.taken",
        "station.out_of_service",
        "payer.session_open",
        "station.offline",
        "reservation.too_many_unpaid",
        "reservation.unpaid_before",
    }
)
_TOO_LATE: Final = frozenset({"reservation.ended", "session.wrong_state"})
"""The promise had ended before it was paid; what was deposited is in the tab for the next one."""
_OVER: Final = frozenset({"metered", "settled"})
"""Nothing more will flow; the car still stands there until its driver comes."""
_NOT_ANY_MORE: Final = frozenset({"expired", "refunding", "refunded"})


class _Goes(Exception):
    """The driver goes without charging; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Moves(Exception):
    """The driver tries another place."""

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


class Driver:
    """Runs one visit to its end; may be cancelled and made anew from its progress at any time."""

    def __init__(
        self, around: Surroundings, progress: Progress, wallet: Wallet, misbehaviour: Misbehaviour
    ) -> None:
        self._around = around
        self._progress = progress
        self._wallet = wallet
        self._misbehaviour = misbehaviour
        character = sha256(progress.key.encode()).digest()
        self._plugs_first = character[0] % 2 == 0
        self._is_flexible = character[1] % 5 != 0
        self._says_goodbye = character[2] % 3 != 0
        if progress.connector and progress.stage is not Stage.LEFT:
            around.places.stands(self._place, progress.key)

    async def run(self) -> None:
        """Go on from wherever the visit is."""
        progress = self._progress
        try:
            if progress.stage in (Stage.ARRIVED, Stage.ASKED):
                await self._find_a_charge()
            if progress.stage is Stage.OFFERED and not await self._pay():
                await self._find_a_charge()
                await self._pay()
            if progress.stage is Stage.PAID:
                await self._charge()
        except _Goes as goes:
            self._go(Stage.GONE, goes.code)
        except (IntegrityFailure, ProtocolViolation) as failure:
            self._go(Stage.LEFT if progress.stage is Stage.PAID else Stage.GONE, failure.code)
        if progress.stage is Stage.LEFT:
            await self._keep_receipt()

    @property
    def _place(self) -> Place:
        return self._around.places[self._progress.connector]

    def _now(self) -> datetime:
        return self._around.clock.now()

    # Asking.

    async def _find_a_charge(self) -> None:
        """Ask at the wanted place, then at its neighbours, until somebody says yes or patience ends."""
        progress, places = self._progress, self._around.places
        until, why = progress.arrival + PATIENCE, "no_free_place"
        while True:
            for place in places.near(progress.connector or progress.wanted_connector):
                if not places.take(place, progress.key):
                    continue
                try:
                    await self._ask_at(place)
                except _Moves as moves:
                    why = moves.code
                    self._stand_back()
                else:
                    return
            if self._now() >= min(until, progress.departure):
                raise _Goes(why)
            await self._around.clock.sleep_until(self._now() + _LOOK_AGAIN)

    async def _ask_at(self, place: Place) -> None:
        """Ask here; returns once there is an offer that holds."""
        progress = self._progress
        if progress.connector != place.name:
            progress.connector, progress.ask = place.name, None
            self._save(Stage.ARRIVED)
        if self._plugs_first and not self._misbehaviour.never_plugs:
            self._plug()
        page = await self._page(place)
        if progress.ask is None:
            progress.ask = self._new_ask(page, progress.requested, progress.stated_departure)
            self._save(Stage.ASKED)
        while True:
            ask, terms = progress.ask, self._terms(page)
            answer = await self._send_request(terms.request_document(ask, place.code))
            if not isinstance(answer, Denied):
                progress.accepted = terms.check_offer(ask, page, answer)
                self._save(Stage.OFFERED)
                return
            progress.ask = self._after_no(page, ask, answer)
            self._save(Stage.ASKED)

    async def _send_request(self, document: Document) -> Document | Denied:
        return await self._or_go(lambda: self._around.api.request(document))

    def _after_no(self, page: Document, ask: Ask, denied: Denied) -> Ask:
        """Give the next request after a refusal; raises _Moves or _Goes where there is none to make."""
        if denied.code in _ELSEWHERE:
            raise _Moves(denied.code)
        self._progress.refusals += 1
        if self._progress.refusals >= _MOST_ASKS:
            raise _Goes(denied.code)
        if denied.code == "request.deadline":
            return self._new_ask(page, ask.energy, datetime.fromtimestamp(ask.departure, self._now().tzinfo))
        for energy, departure in _offers(denied.problem):
            if energy * 2 >= self._progress.requested and departure <= self._latest():
                return self._new_ask(page, energy, departure)
        raise _Goes(denied.code)

    def _latest(self) -> datetime:
        """Give until when this driver could stay."""
        return max(self._progress.departure, self._progress.stated_departure)

    def _new_ask(self, page: Document, energy: Wh, departure: datetime) -> Ask:
        price = Price(int(page["price"]))
        return Ask(
            asset=int(page["asset"]),
            departure=int(departure.timestamp()),
            energy=energy,
            flexible=self._is_flexible,
            max_cost=cost_of(energy, price) * 11 // 10 + 1,
            nonce=f"0x{secrets.token_bytes(32).hex()}",
            deadline=int((self._now() + REQUEST_VALID).timestamp()),
        )

    async def _page(self, place: Place) -> Document:
        page = await self._or_go(lambda: self._around.api.station(place.code))
        if isinstance(page, Denied):
            raise _Goes(page.code)
        return page

    def _terms(self, page: Document) -> Terms:
        return Terms.of_station(self._wallet, self._around.signatures, page)

    # Paying.

    async def _pay(self) -> bool:
        """Raise the tab to what the offer needs, then hand over the voucher.

        False where the promise had ended by then: the driver is to ask anew, once.
        """
        accepted = self._accepted()
        page = await self._page(self._place)
        terms = self._terms(page)
        for _ in range(_MOST_ASKS):
            await self._deposit(page, terms, accepted)
            answer = await self._send_voucher(accepted.session, terms.voucher_document(accepted))
            if not isinstance(answer, Denied):
                self._save(Stage.PAID)
                return True
            if answer.code in _TOO_LATE and self._progress.refusals + 1 < _MOST_ASKS:
                self._progress.refusals += 1
                self._progress.ask = self._progress.accepted = None
                self._save(Stage.ARRIVED)
                return False
            if answer.code != "voucher.underfunded":
                raise _Goes(answer.code)
        raise _Goes("voucher.underfunded")

    async def _send_voucher(self, session: str, document: Document) -> Document | Denied:
        return await self._or_go(lambda: self._around.api.voucher(session, document))

    async def _deposit(self, page: Document, terms: Terms, accepted: Accepted) -> None:
        """Sign and relay what is missing, at least what is worth the relayer's gas.

        A deposit that is refused shows when the voucher is.
        """
        least = int(page.get("min_deposit", 0))
        deadline = int((self._now() + DEPOSIT_VALID).timestamp())
        ceiling = accepted.base + accepted.budget
        payee = terms.payee_of(accepted)
        try:
            order = await self._or_go(
                lambda: self._wallet.deposit_order(payee, ceiling, deadline, least=least)
            )
        except Refused as refused:
            raise _Goes(refused.code) from refused
        if order is not None:
            await self._or_go(lambda: self._around.api.relay(deposit_document(order)))

    # Charging and leaving.

    async def _charge(self) -> None:
        """Plug in, look at the session now and then, leave when it is time."""
        progress, accepted = self._progress, self._accepted()
        if not self._misbehaviour.never_plugs:
            self._plug()
        watch = timedelta(seconds=self._around.timing.watch_s)
        while self._now() < progress.departure:
            session = await self._patiently(
                lambda: self._around.api.session(accepted.session), progress.departure
            )
            if isinstance(session, dict) and session.get("state") in _NOT_ANY_MORE:
                self._go(Stage.LEFT, f"session.{session['state']}")
                return
            is_over = isinstance(session, dict) and session.get("state") in _OVER
            until = progress.departure if is_over else min(self._now() + watch, progress.departure)
            await self._around.clock.sleep_until(until)
        if self._says_goodbye:
            await self._say_stop(accepted)
        self._go(Stage.LEFT, "")

    async def _say_stop(self, accepted: Accepted) -> None:
        """Ask for the end, and wait a little for it: the plug is locked while current flows."""
        until = self._now() + _STOP_PATIENCE
        page = await self._patiently(lambda: self._around.api.station(self._place.code), until)
        if page is None or isinstance(page, Denied):
            return
        terms = self._terms(page)

        async def say() -> Document | Denied:
            document = terms.stop_document(accepted.session, int(self._now().timestamp()))
            return await self._around.api.stop(accepted.session, document)

        await self._patiently(say, until)
        while self._place.is_running and self._now() < until:
            await self._around.clock.sleep_until(self._now() + timedelta(seconds=10))

    async def _keep_receipt(self) -> None:
        """Ask for the receipt until it is there, or it is clear that there will be none."""
        progress, accepted = self._progress, self._accepted()
        patience = timedelta(seconds=self._around.timing.receipt_patience_s)
        watch, until = timedelta(seconds=self._around.timing.watch_s), self._now() + patience
        while self._now() < until and progress.note not in {f"session.{state}" for state in _NOT_ANY_MORE}:
            receipt = await self._patiently(lambda: self._around.api.receipt(accepted.session), until)
            if isinstance(receipt, bytes):
                self._write_receipt(accepted.session, receipt)
                self._save(Stage.DONE)
                return
            session = await self._patiently(lambda: self._around.api.session(accepted.session), until)
            if isinstance(session, dict) and session.get("state") in _NOT_ANY_MORE:
                progress.note = f"session.{session['state']}"
                break
            await self._around.clock.sleep_until(self._now() + watch)
        progress.note = progress.note or "no_receipt"
        self._save(Stage.DONE)

    def _write_receipt(self, session: str, receipt: bytes) -> None:
        """Write the file whole or not at all."""
        target = self._around.receipts / f"{session}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        fresh.write_bytes(receipt)
        fresh.replace(target)

    def _plug(self) -> None:
        """Put the plug in, once; the car and the driver's memory of it are one commit."""
        progress = self._progress
        if not progress.plugged:
            with self._around.state.commit():
                self._place.plug(Car.with_room(progress.driver, progress.need, W(progress.max_power)))
                progress.plugged = True
                progress.save(self._around.state)

    def _stand_back(self) -> None:
        """Take the plug out and free the place."""
        progress, place = self._progress, self._place
        with self._around.state.commit():
            if progress.plugged:
                progress.received_wh = place.unplug().received
                progress.plugged = False
            progress.ask = None
            progress.save(self._around.state)
        self._around.places.leave(place, progress.key)

    def _go(self, stage: Stage, code: str) -> None:
        """Leave the place, saying why."""
        self._progress.note = code
        _log.info("driver.goes", visit=self._progress.key, stage=stage.value, why=code)
        with self._around.state.commit():
            self._progress.stage = stage
            if self._progress.connector:
                self._stand_back()
            self._progress.save(self._around.state)

    def _accepted(self) -> Accepted:
        if self._progress.accepted is None:
            raise ValueError(f"{self._progress.key} has no offer at stage {self._progress.stage}")
        return self._progress.accepted

    def _save(self, stage: Stage) -> None:
        self._progress.stage = stage
        with self._around.state.commit():
            self._progress.save(self._around.state)

    async def _or_go(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call until it is answered; before money has moved a driver gives up at the departure."""
        answered = await self._patiently(lambda: _boxed(call()), self._progress.departure)
        if answered is None:
            raise _Goes("api.away")
        return answered[0]

    async def _patiently(self, call: Callable[[], Awaitable[_T]], until: datetime) -> _T | None:
        """Call again while the other side is away, with back-off; None once it is `until`."""
        delay_s = self._around.timing.api_retry_s
        while True:
            try:
                return await call()
            except Unavailable:
                if self._now() >= until:
                    return None
            await self._around.clock.sleep_until(self._now() + timedelta(seconds=delay_s))
            delay_s = min(delay_s * 2, self._around.timing.api_retry_max_s)


async def _boxed(call: Awaitable[_T]) -> tuple[_T]:
    """Tell an answer that is None from no answer."""
    return (await call,)


def _offers(problem: dict[str, Any]) -> list[tuple[Wh, datetime]]:
    """Read the offers of a refusal; raises ProtocolViolation where they cannot be read."""
    try:
        return [
            (Wh(int(offer["energy_wh"])), datetime.fromisoformat(offer["departure"]))
            for offer in problem.get("offers") or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolViolation("api.bad_offers", "the refusal's offers cannot be read") from error
