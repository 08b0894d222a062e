"""While a charge runs: one plain line of how it is, the driver's Ctrl-C, and vouchers as energy flows."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from evmesh.app.operator_client import Json, OperatorClient
from evmesh.app.wallet_book import Charge, ChargeBook
from evmesh.app.wallet_chain_clock import chain_time
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_secure import Securing
from evmesh.app.wallet_talk import Talk
from evmesh.domain.errors import EvmeshError, InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import SessionId
from evmesh.domain.money import parse_units
from evmesh.domain.sessions import Way
from evmesh.domain.signed_types import StopRequest
from evmesh.domain.stream_guard import Distrust, Pay, StreamGuard
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ledger.answers import printable
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ports import Clock

ENDED: Final = frozenset({"metered", "settled"})
CAME_TO_NOTHING: Final = frozenset({"expired", "refunding", "refunded"})
_LOOK_EVERY_S: Final = 1.0
_RETRY_S: Final = 2.0
_AWAY_FOR_S: Final = 600.0
_STALLED: Final = timedelta(minutes=15)
_LAST_BILL_WITHIN_S: Final = 5.0
"""How long what was metered last may take to be paid too."""


class Interrupted(Exception):
    """The driver leaves; the charge goes on."""


class Following:
    """Follows one charge to its end."""

    def __init__(
        self,
        place: Place,
        api: OperatorClient,
        book: ChargeBook,
        signer: KeySigner,
        securing: Securing,
        talk: Talk,
        clock: Clock,
    ) -> None:
        self._place = place
        self._api = api
        self._book = book
        self._signer = signer
        self._securing = securing
        self._talk = talk
        self._clock = clock
        self._guard: StreamGuard | None = None

    async def to_the_end(self, charge: Charge) -> None:
        """Show the charge until nothing more flows; pays meanwhile where it is paid by streaming.

        Raises Interrupted where the driver leaves it to itself.
        """
        with _interrupts() as interrupted:
            if charge.way is not Way.STREAMING:
                await self._show(charge, interrupted)
                return
            left = False
            async with asyncio.TaskGroup() as group:
                paying = group.create_task(self._pay_as_it_flows(charge))
                try:
                    await self._show(charge, interrupted)
                    await asyncio.wait([paying], timeout=_LAST_BILL_WITHIN_S)
                except Interrupted:
                    left = True
                paying.cancel()
            if left:
                raise Interrupted

    async def say_stop(self, charge: Charge) -> None:
        """Sign the driver's word to stop and hand it over."""
        session = await self._api.session(charge.session)
        if session.get("state") in ENDED | CAME_TO_NOTHING:
            return
        now = int(datetime.fromisoformat(str((await self._api.station(charge.code))["now"])).timestamp())
        word = StopRequest(SessionId.parse(charge.session).to_bytes32(), now)
        signature = self._signer.sign(digest(self._place.coin.domain, word, keccak256))
        await self._api.stop(charge.session, {"at": now, "signature": "0x" + signature.hex()})

    async def _show(self, charge: Charge, interrupted: asyncio.Event) -> None:
        away_s = 0.0
        while True:
            try:
                session = await self._api.session(charge.session)
            except Unavailable as error:
                away_s += _RETRY_S
                if away_s > _AWAY_FOR_S:
                    raise
                self._talk.live(f"{error.what}; trying again")
                await asyncio.sleep(_RETRY_S)
                continue
            away_s = 0.0
            self._note(charge, session)
            self._talk.live(_line(charge, session, await self._now()))
            if charge.state in ENDED | CAME_TO_NOTHING:
                return
            await self._require_flow(charge)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await interrupted.wait()
            if interrupted.is_set():
                interrupted.clear()
                await self._ask_what_now(charge)

    async def _ask_what_now(self, charge: Charge) -> None:
        """Ask whether to stop; raises Interrupted where the driver goes, or nobody can be asked."""
        if not self._talk.can_ask:
            raise Interrupted
        ends = "; without vouchers the station stops soon" if charge.way is Way.STREAMING else ""
        self._talk.say("")
        choice = await asyncio.to_thread(
            self._talk.choose, f"(w)atch on, (s)top the charge, (l)eave it to itself{ends}", "wsl"
        )
        if choice == "s":
            await self.say_stop(charge)
        if choice == "l":
            raise Interrupted

    def _note(self, charge: Charge, session: Json) -> None:
        try:
            seen = (str(session["state"]), int(session["delivered_wh"]), parse_units(session["cost"]))
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise ProtocolViolation("operator.bad_session", "the session cannot be read") from error
        if seen != (charge.state, charge.delivered, charge.cost):
            charge.state, charge.delivered, charge.cost = seen
            self._book.save(charge)

    async def _now(self) -> datetime:
        return datetime.fromtimestamp(await chain_time(self._place.rpc), UTC)

    # Streaming.

    async def _pay_as_it_flows(self, charge: Charge) -> None:
        """Sign what is owed until the session ends, or until something is wrong; then say stop."""
        guard = StreamGuard(charge.price_of(), charge.base, charge.budget, charge.rating_of())
        self._guard = guard
        while True:
            try:
                async for event in self._api.events(charge.session):
                    if charge.note:
                        return
                    wrong = await self._look(charge, guard, event)
                    if wrong is not None:
                        await self._distrust(charge, wrong)
                        return
                    if event.get("state") in ENDED | CAME_TO_NOTHING:
                        return
            except Unavailable:
                pass  # the station stops where vouchers are missing; nothing is lost meanwhile
            except EvmeshError as error:
                await self._distrust(charge, Distrust(error.code, error.what))
                return
            await asyncio.sleep(_RETRY_S)

    async def _look(self, charge: Charge, guard: StreamGuard, event: Json) -> Distrust | None:
        try:
            told = int(event["epoch"]), int(event["base"]), int(event["budget"])
            metered, wanted = Wh(int(event["metered_wh"])), int(event["wanted_cumulative"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation("operator.bad_event", "the session's event cannot be read") from error
        if told != (charge.epoch, charge.base, charge.budget):
            return Distrust("stream.other_terms", "the session's terms are not those of the offer")
        elapsed = await self._elapsed(charge)
        decision = guard.look(elapsed, metered, wanted, charge.signed)
        if isinstance(decision, Distrust):
            return decision
        if isinstance(decision, Pay):
            try:
                await self._securing.hand_over(charge, decision.cumulative)
            except Refused as refused:
                if refused.code != "voucher.too_late":
                    raise
        return None

    async def _require_flow(self, charge: Charge) -> None:
        """Say stop where a charge that is paid as it flows gives nothing, though it says that it charges."""
        if self._guard is None or charge.state != "charging" or charge.note:
            return
        if self._guard.stalled(await self._elapsed(charge)) > _STALLED:
            why = Distrust("stream.no_energy", "nothing has flowed for a quarter of an hour")
            await self._distrust(charge, why)

    async def _elapsed(self, charge: Charge) -> timedelta:
        """Give the time since the first voucher: by the chain, whose clock may be faster, or by our own."""
        by_chain = timedelta(seconds=await chain_time(self._place.rpc) - charge.paid_block_time)
        by_us = self._clock.now() - (charge.paid_at or self._clock.now())
        return max(by_chain, by_us, timedelta())

    async def _distrust(self, charge: Charge, why: Distrust) -> None:
        """Pay no more, say why, and have it stopped."""
        charge.note = why.code
        self._book.save(charge)
        self._talk.say(f"paying no more: {why.what} ({why.code})")
        with contextlib.suppress(EvmeshError):  # without vouchers it stops anyhow
            await self.say_stop(charge)


def _line(charge: Charge, session: Json, now: datetime) -> str:
    """Say how it is: power, energy, cost, when it is done, and why it is as it is."""
    power = int(session.get("power_w") or 0)
    done = _finish(charge, power, now)
    reason = printable(str(session.get("reason", "")), 40).replace("_", " ")
    return (
        f"{charge.there(now):%H:%M}  {charge.state:<10} {power / 1000:5.2f} kW  "
        f"{charge.delivered / 1000:7.3f} kWh  {charge.money(charge.cost):>9}  {done}  {reason}"
    )


def _finish(charge: Charge, power: int, now: datetime) -> str:
    departure = datetime.fromtimestamp(charge.departure, UTC)
    if charge.state in ENDED | CAME_TO_NOTHING:
        return "done"
    if not power:
        return f"by {charge.there(departure):%H:%M} at the latest"
    left = timedelta(hours=max(0, charge.energy - charge.delivered) / power)
    return f"about {charge.there(min(now + left, departure)):%H:%M}"


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Give an event that Ctrl-C sets while the block runs."""
    interrupted = asyncio.Event()
    loop: Any = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    try:
        yield interrupted
    finally:
        loop.remove_signal_handler(signal.SIGINT)
