"""Asking for a charge: at the wanted place, then at its neighbours, and once more after a no."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.ids import Address
from evmesh.domain.money import Price, cost_of
from evmesh.domain.units import Wh
from evmesh.sim.api_client import Denied, Document
from evmesh.sim.filling import fill_tab
from evmesh.sim.outing import Goes, Outing
from evmesh.sim.places import Place
from evmesh.sim.progress import Ask, Stage

REQUEST_VALID: Final = timedelta(minutes=10)
PATIENCE: Final = timedelta(minutes=30)
"""How long a driver waits for a free place, or for the own last session to be settled."""
MOST_ASKS: Final = 2
_LOOK_AGAIN_S: Final = 120
_DEPOSIT_FIRST: Final = frozenset({"reservation.too_many_unpaid", "reservation.unpaid_before"})
"""No promise is given to a tab that does not hold the money; to one that does it is."""
_ELSEWHERE: Final = frozenset(
    {
        "connector.taken",
        "station.out_of_service",
        "payer.session_open",
        "station.offline",
        "tab.closing",
        *_DEPOSIT_FIRST,
    }
)


class _Moves(Exception):
    """The driver tries another place."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Asking:
    """Gets one visit a promise. Half of the drivers plug in before they ask, some are not flexible."""

    def __init__(self, outing: Outing) -> None:
        self._outing = outing
        character = sha256(outing.progress.key.encode()).digest()
        self._plugs_first = character[0] % 2 == 0
        self._is_flexible = character[1] % 5 != 0

    async def find_a_charge(self) -> None:
        """Ask here and there until somebody says yes; raises Goes where patience ends."""
        outing, progress = self._outing, self._outing.progress
        places, until, why = outing.around.places, progress.arrival + PATIENCE, "no_free_place"
        while True:
            for place in places.near(progress.connector or progress.wanted_connector):
                if not places.take(place, progress.key):
                    continue
                try:
                    await self._ask_at(place)
                except _Moves as moves:
                    why = moves.code
                    outing.stand_back()
                else:
                    return
            if outing.now() >= min(until, progress.departure):
                raise Goes(why)
            await outing.wait(_LOOK_AGAIN_S)

    async def _ask_at(self, place: Place) -> None:
        """Ask here; returns once there is an offer that holds."""
        outing, progress = self._outing, self._outing.progress
        if progress.connector != place.name:
            progress.connector, progress.ask = place.name, None
            outing.save(Stage.ARRIVED)
        if self._plugs_first:
            outing.plug()
        page = await outing.page(place)
        if progress.ask is None:
            progress.ask = self._new_ask(page, progress.requested, progress.stated_departure)
            outing.save(Stage.ASKED)
        while True:
            ask, terms = progress.ask, outing.terms(page)
            document = terms.request_document(ask, place.code)
            answer = await self._send_request(document)
            if not isinstance(answer, Denied):
                progress.accepted = terms.check_offer(ask, page, answer)
                outing.save(Stage.OFFERED)
                return
            if answer.code in _DEPOSIT_FIRST and progress.deposited_at != place.name:
                await self._deposit_first(page, ask, place)
                continue
            progress.ask = self._after_no(page, ask, answer)
            outing.save(Stage.ASKED)

    async def _deposit_first(self, page: Document, ask: Ask, place: Place) -> None:
        """Have the tab hold what the charge can cost, once at a place; the same request is sent again."""
        progress = self._outing.progress
        most = cost_of(ask.energy, Price(int(page["price"])))
        payee = Address.parse(str(page["payee"]))
        spent = await self._outing.or_go(lambda: self._outing.wallet.spent(payee))
        await fill_tab(self._outing, page, payee, spent + most)
        progress.deposited_at = place.name
        self._outing.save()

    async def _send_request(self, document: Document) -> Document | Denied:
        return await self._outing.or_go(lambda: self._outing.around.api.request(document))

    def _after_no(self, page: Document, ask: Ask, denied: Denied) -> Ask:
        """Give the next request after a refusal; raises _Moves or Goes where there is none to make."""
        if denied.code in _ELSEWHERE:
            raise _Moves(denied.code)
        progress = self._outing.progress
        progress.refusals += 1
        if progress.refusals >= MOST_ASKS:
            raise Goes(denied.code)
        if denied.code == "request.deadline":
            at = datetime.fromtimestamp(ask.departure, self._outing.now().tzinfo)
            return self._new_ask(page, ask.energy, at)
        for energy, departure in _offers(denied.problem):
            if energy * 2 >= progress.requested and departure <= self._latest():
                return self._new_ask(page, energy, departure)
        raise Goes(denied.code)

    def _latest(self) -> datetime:
        """Give until when this driver could stay."""
        return max(self._outing.progress.departure, self._outing.progress.stated_departure)

    def _new_ask(self, page: Document, energy: Wh, departure: datetime) -> Ask:
        price = Price(int(page["price"]))
        return Ask(
            asset=int(page["asset"]),
            departure=int(departure.timestamp()),
            energy=energy,
            flexible=self._is_flexible,
            max_cost=cost_of(energy, price) * 11 // 10 + 1,
            nonce=f"0x{secrets.token_bytes(32).hex()}",
            deadline=int((self._outing.now() + REQUEST_VALID).timestamp()),
        )


def _offers(problem: dict[str, Any]) -> list[tuple[Wh, datetime]]:
    """Read the offers of a refusal; raises ProtocolViolation where they cannot be read."""
    try:
        return [
            (Wh(int(offer["energy_wh"])), datetime.fromisoformat(offer["departure"]))
            for offer in problem.get("offers") or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolViolation("api.bad_offers", "the refusal's offers cannot be read") from error
