"""One charge from the wallet's side: ask, secure the money, follow, keep the receipt; through any crash.

What was written down last says where to go on (`wallet_book.py`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from evmesh.app.clock import WallClock
from evmesh.app.operator_client import Json, OperatorClient
from evmesh.app.records_client import countersign_kept
from evmesh.app.wallet_ask import NoRoom, Offer, ask, new_charge, renew, require_same_time
from evmesh.app.wallet_book import Charge, ChargeBook, Stage
from evmesh.app.wallet_follow import CAME_TO_NOTHING, Following
from evmesh.app.wallet_home import By, WalletHome
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_receipt import keep_receipt, keep_settlement
from evmesh.app.wallet_risk import worst_case
from evmesh.app.wallet_secure import Securing
from evmesh.app.wallet_station import Station, find_station
from evmesh.app.wallet_talk import Talk
from evmesh.app.wallet_transfer import Transferring
from evmesh.app.wallet_wish import Wish, time_words
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Way
from evmesh.domain.station_code import code_of, counter_of, spaced
from evmesh.domain.stream_guard import StreamGuard
from evmesh.domain.units import Wh
from evmesh.ledger.signatures import EthereumSignatures, KeySigner

_MOST_ASKS: Final = 4
"""An offer holds for the moment: others ask too, and a quarter of an hour may end meanwhile."""


@dataclass(frozen=True, slots=True)
class PayOptions:
    """How to pay: how a deposit is signed, which offer to take after a no (from 1), and what to resume."""

    by: By = By.PERMIT
    take: int | None = None
    stop: bool = False
    """Say stop to the open charge."""
    flex: bool = False
    """Pay in FLEX of the operator."""


class Paying:
    """Pays with one wallet at one operator."""

    def __init__(
        self, place: Place, home: WalletHome, signer: KeySigner, talk: Talk, options: PayOptions
    ) -> None:
        if place.api is None:
            raise InvalidInput(
                "wallet.no_operator", "no operator is named", do="name its platform with --operator URL"
            )
        self._place = place
        self._api: OperatorClient = place.api
        self._home = home
        self._signer = signer
        self._talk = talk
        self._options = options
        self._clock = WallClock()
        self._book = ChargeBook(home.directory)
        self._securing = Securing(place, self._api, home, self._book, signer, self._clock)
        self._transferring = Transferring(place, self._api, home, self._book, signer, talk)
        self._following = Following(place, self._api, self._book, signer, self._securing, talk, self._clock)

    async def pay(self, code: str | None, wish: Wish | None) -> Json:
        """Pay for a charge, or go on with the one that is open; give its report.

        Raises Refused, with offers as `NoFit`, where the energy does not fit; Interrupted where the driver
        left the charge to itself.
        """
        with self._book.writing():
            charge = self._book.open_charge()
            self._require_same_money(charge)
            if charge is not None and code is not None and code_of(counter_of(code)) != charge.code:
                raise Refused(
                    "wallet.charge_open",
                    f"the charge at {spaced(charge.code)} has not ended",
                    do="go on with it by `evmesh wallet pay --resume`",
                )
            if charge is None:
                if code is None or wish is None:
                    raise Refused("wallet.nothing_open", "no charge of this wallet is open")
                charge = await self._begin(code, wish)
            else:
                self._talk.say(f"going on with the charge at {spaced(charge.code)} ({charge.stage.value})")
            return await self._go_on(charge)

    def _require_same_money(self, charge: Charge | None) -> None:
        """Raise Refused where the place is not that of the money to pay in."""
        coin = self._place.coin
        if charge is None and self._options.flex != coin.is_flex:
            raise Refused("wallet.charge_changed", "the open charge has ended meanwhile", do="try again")
        if charge is not None and charge.escrow != (coin.escrow.text if coin.is_flex else ""):
            raise Refused(
                "wallet.other_money",
                "the open charge is paid in another money than the operator names now",
                do="ask the operator; what the tab holds comes back by `evmesh wallet exit`",
            )

    async def _begin(self, code: str, wish: Wish) -> Charge:
        """Show what is to be signed, have it confirmed, and ask."""
        station = await find_station(self._place, code)
        await require_same_time(self._place, station.now, self._clock.now())
        energy = wish.energy_at(station.price, station.rating)
        departure = wish.departure(station.now, energy, station.rating, station.zone)
        charge = new_charge(station, wish, energy, departure, self._place.coin)
        if wish.way is Way.TRANSFER:
            await self._transferring.price(charge)
            self._show(station, charge)
            await self._transferring.require_enough(charge)
            self._have_confirmed()
            self._book.save(charge)
            return charge
        await self._confirm(station, charge)
        refused, asks = await self._ask(charge), 1
        while refused is not None:
            offer = self._chosen(refused, wish, departure, station)
            if offer is None or asks == _MOST_ASKS:
                raise NoFit(refused, station.zone)
            charge = new_charge(station, wish, offer.energy, offer.departure, self._place.coin)
            await self._confirm(station, charge)
            refused, asks = await self._ask(charge), asks + 1
        return charge

    async def _confirm(self, station: Station, charge: Charge) -> None:
        """Show the charge, look whether the money is there, then have it confirmed."""
        self._show(station, charge)
        missing = await self._securing.require_enough(charge)
        if missing:
            self._talk.say(f"deposit    {charge.money(missing)} now; what is not charged stays yours")
        self._have_confirmed()
        await renew(self._place, self._api, charge, self._clock.now())

    def _show(self, station: Station, charge: Charge) -> None:
        """Say place, price, worst case and risk, whether or not the wallet can pay it."""
        self._talk.say(
            *station.lines(),
            f"price      {charge.money(charge.price)} per kWh",
            f"asked for  {charge.energy / 1000:g} kWh {_when(station, charge)}",
            f"worst case {charge.money(charge.max_cost)}",
            *worst_case(charge),
            *(["paid in    FLEX, which this operator takes 1:1"] if self._place.coin.is_flex else []),
        )

    def _have_confirmed(self) -> None:
        """Raise Refused `wallet.declined` where the answer is no."""
        if not self._talk.confirm("Sign and pay?"):
            raise Refused("wallet.declined", "nothing was signed")

    def _chosen(self, refused: NoRoom, wish: Wish, departure: datetime, station: Station) -> Offer | None:
        """Give the offer to take after a no: the named one, or for a time what fits into it."""
        number = self._options.take
        if number is not None:
            if not 0 < number <= len(refused.offers):
                raise NoFit(refused, station.zone)
            return refused.offers[number - 1]
        if wish.time is not None:
            fits = [one for one in refused.offers if one.departure <= departure]
            return max(fits, key=lambda one: one.energy, default=None)
        return None

    async def _ask(self, charge: Charge) -> NoRoom | None:
        """Send the request; None where it was promised, and the promise is kept."""
        self._book.save(charge)
        try:
            answer = await ask(self._place, self._api, self._signer, charge)
        except (InvalidInput, Refused, IntegrityFailure) as error:
            self._end(charge, error.code)
            raise
        if isinstance(answer, NoRoom):
            self._end(charge, answer.code)
            return answer
        charge.session, charge.epoch = answer.session.text, answer.offer.epoch
        charge.base, charge.budget = answer.offer.base, answer.offer.budget
        charge.stage = Stage.OFFERED
        self._book.save(charge)
        return None

    async def _go_on(self, charge: Charge) -> Json:
        if charge.stage is Stage.ASKED and charge.way is Way.TRANSFER:
            await self._transfer(charge)
        if charge.stage is Stage.ASKED:
            refused = await self._ask(charge)
            if refused is not None:
                raise NoFit(refused, ZoneInfo(charge.zone))
        if charge.stage is Stage.OFFERED:
            await self._secure(charge)
            self._talk.say(
                "paid; plug in now, if you have not" if charge.way is Way.PREPAID else "plug in now"
            )
        if self._options.stop:
            await self._following.say_stop(charge)
        await self._following.to_the_end(charge)
        if charge.state in CAME_TO_NOTHING:
            self._end(charge, f"session.{charge.state}")
            raise Refused(
                f"session.{charge.state}",
                "no energy flowed; what was not spent is back, or still in your tab",
                do="look with `evmesh wallet balance`",
            )
        return await self._finish(charge)

    async def _transfer(self, charge: Charge) -> None:
        try:
            await self._transferring.send(charge)
        except (InvalidInput, Refused) as error:
            self._end(charge, error.code)
            raise
        self._talk.say("the money has been taken; plug in now, if you have not")

    async def _secure(self, charge: Charge) -> None:
        """Deposit what is missing and hand over the first voucher; a promise that ended ends the charge."""
        guard = StreamGuard(charge.price_of(), charge.base, charge.budget, charge.rating_of())
        first = guard.first() if charge.way is Way.STREAMING else charge.base + charge.budget
        try:
            await self._securing.deposit(charge, self._options.by)
            await self._securing.first_voucher(charge, first)
        except (InvalidInput, Refused) as error:
            self._end(charge, error.code)
            raise

    async def _finish(self, charge: Charge) -> Json:
        kept = await keep_receipt(self._place, self._api, self._home.directory, charge, self._signer.address)
        settlement = await keep_settlement(self._api, self._home.directory, charge)
        charge.receipt = str(kept.path)
        charge.delivered, charge.cost = kept.receipt.energy, kept.receipt.due
        lines = kept.lines()
        if charge.way is not Way.TRANSFER:  # who only sent a transfer is never asked for its half
            raw = kept.path.read_bytes()
            lines.append(await countersign_kept(self._api.url, raw, self._signer, EthereumSignatures()))
        self._end(charge, charge.note)
        self._talk.say("", *lines)
        return report_of(charge) | {
            "settlement": None if settlement is None else str(settlement),
            "checks": [check.to_json() for check in kept.report.checks],
        }

    def _end(self, charge: Charge, note: str) -> None:
        charge.stage, charge.note = Stage.ENDED, note
        self._book.save(charge)


async def place_to_pay(place: Place, home: WalletHome, *, flex: bool) -> Place:
    """Give the place in the money of the charge that is open, else in the one that is wanted."""
    charge = ChargeBook(home.directory).open_charge()
    if charge is None:
        return await place.in_flex() if flex else place
    return await place.paying_by(Address.parse(charge.escrow)) if charge.escrow else place


class NoFit(Refused):
    """The energy does not fit; the proof was checked, and these are the offers."""

    def __init__(self, refused: NoRoom, zone: ZoneInfo) -> None:
        """`zone` is the station's: departures are shown on its clock."""
        super().__init__(
            refused.code,
            f"{refused.what}: {refused.deficit} Wh too much; the proof of that was checked",
            do="say it again with --take and the number of an offer" if refused.offers else "choose another",
        )
        self.offers = refused.offers
        self._zone = zone

    def lines(self) -> list[str]:
        """Give the offers, numbered from 1."""
        return [
            f"offer {number}    {one.energy / 1000:g} kWh until {time_words(one.departure, self._zone)}"
            for number, one in enumerate(self.offers, 1)
        ]


def _when(station: Station, charge: Charge) -> str:
    """Say by when and how; of a transfer nobody said when the car leaves."""
    if charge.way is Way.TRANSFER:
        return "as fast as possible; no departure is agreed, and after a day what is left goes back"
    smart = "when it is cheapest" if charge.flexible else "as fast as possible"
    return f"until {time_words(datetime.fromtimestamp(charge.departure, UTC), station.zone)}, {smart}"


def report_of(charge: Charge) -> Json:
    """Give a charge as `--json` prints it."""
    return {
        "session": charge.session or None,
        "station": charge.code,
        "name": charge.name,
        "way": charge.way.value,
        "begun": charge.begun.isoformat().replace("+00:00", "Z"),
        "stage": charge.stage.value,
        "state": charge.state or None,
        "price": charge.price,
        "asked_wh": charge.energy,
        "energy_wh": Wh(charge.delivered),
        "cost": str(charge.cost),
        "currency": charge.currency,
        "budget": str(charge.budget or charge.max_cost),
        "signed": str(max(0, charge.signed - charge.base)),
        "note": charge.note or None,
        "receipt": charge.receipt or None,
        "transactions": charge.transactions,
    }
