"""A driver with any wallet at all: plugs in, sends tokens to the deposit address, waits, and drives away.

Nothing is asked or signed for evmesh. What became of the money is found by the transaction's hash.
"""

from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Unavailable
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import Price, cost_of
from evmesh.sim.api_client import Denied, Document
from evmesh.sim.driver import Driver
from evmesh.sim.following import NOT_ANY_MORE, OVER
from evmesh.sim.outing import Goes
from evmesh.sim.progress import Accepted, Stage

_log = structlog.get_logger()

_LOOK_EVERY_S: Final = 30
_PATIENCE_LOOKS: Final = 40


class Stranger(Driver):
    """One visit that is paid by a plain transfer; the stages are those of any visit."""

    async def run(self) -> None:
        """Go on from wherever the visit is."""
        outing, progress = self.outing, self.outing.progress
        try:
            if progress.stage is Stage.ARRIVED:
                await self._plug_in()
            if progress.stage is Stage.ASKED:
                await self._send()
            if progress.stage is Stage.OFFERED:
                await self._find_the_charge()
            if progress.stage is Stage.PAID:
                await self._wait()
        except Goes as goes:
            outing.go(Stage.GONE, goes.code)
        except EvmeshError as failure:
            paid = progress.stage is Stage.PAID
            outing.go(Stage.LEFT if paid else Stage.GONE, failure.code)
        if progress.stage is Stage.LEFT:
            await self.following.keep_receipt()

    async def _plug_in(self) -> None:
        """Take a free place and plug in: who pays by transfer is charged as fast as possible."""
        outing, progress, places = self.outing, self.outing.progress, self.outing.around.places
        free = [
            place
            for place in places.near(progress.connector or progress.wanted_connector)
            if places.take(place, progress.key)
        ]
        if not free:
            raise Goes("no_free_place")
        for place in free[1:]:
            places.leave(place, progress.key)
        progress.connector = free[0].name
        outing.plug()
        outing.save(Stage.ASKED)

    async def _send(self) -> None:
        """Send what the wanted energy costs, and what a return would cost; once."""
        outing, progress = self.outing, self.outing.progress
        if outing.around.senders is None:
            raise Goes("transfer.no_wallet")
        page = await outing.page(outing.place)
        if not progress.sent:
            progress.sent = self._amount(page)
            outing.save()
        sender = outing.around.senders(progress.key)
        to = Address.parse(str(page["deposit_address"]))
        progress.sent_hash = await outing.or_go(lambda: sender.send(to, progress.sent, f"pay:{progress.key}"))
        outing.save(Stage.OFFERED)

    def _amount(self, page: Document) -> int:
        terms = page.get("transfer")
        if not isinstance(terms, dict) or terms.get("open") is not True:
            raise Goes("transfer.closed")
        try:
            fee, least = int(terms["fee"]), int(terms["minimum"])
            cost = cost_of(self.outing.progress.requested, Price(int(page["price"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolViolation("api.bad_page", "the page's terms of transfers cannot be read") from error
        return max(least, cost + fee)

    async def _find_the_charge(self) -> None:
        """Look what became of the transfer until it is a charge; raises Goes where it is a return."""
        outing, progress = self.outing, self.outing.progress
        for _ in range(_PATIENCE_LOOKS):
            answer = await outing.or_go(lambda: outing.around.api.transfer(progress.sent_hash))
            mine = {} if isinstance(answer, Denied) else (answer.get("transfers") or [{}])[0]
            if mine.get("status") == "charge":
                session = SessionId.parse(str(mine.get("session"))).text
                progress.accepted = Accepted(session, "", 0, 0, progress.sent, 0)
                outing.save(Stage.PAID)
                return
            if mine.get("status") in ("return", "set_aside"):
                raise Goes(f"transfer.{mine['status']}")
            await outing.wait(_LOOK_EVERY_S)
        raise Goes("transfer.not_taken")

    async def _wait(self) -> None:
        """Stand there until the charge is over or it is time to go; nobody can say stop, the plug can."""
        outing, progress = self.outing, self.outing.progress
        state = ""
        while outing.now() < progress.departure and state not in OVER | NOT_ANY_MORE:
            await outing.wait(outing.around.timing.watch_s)
            try:
                session = await outing.around.api.session(outing.accepted.session)
            except Unavailable:
                continue
            state = str(session.get("state", "")) if isinstance(session, dict) else state
        outing.go(Stage.LEFT, f"session.{state}" if state in NOT_ANY_MORE else "")
