"""`evmesh wallet history`: every charge and every movement of money, by own files and by the chain."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from evmesh.app.wallet_options import Json, Purse, looking
from evmesh.domain.station_code import spaced

if TYPE_CHECKING:
    from evmesh.app.wallet_book import Charge
    from evmesh.app.wallet_history import Move
    from evmesh.app.wallet_place import Place


@looking
def history_command(purse: Purse) -> None:
    """Show every charge of this wallet, and every movement of its money; needs no password.

    Charges are from its own files. Movements are from a node: old ones only where it keeps such logs.
    """
    from evmesh.app.wallet_book import ChargeBook
    from evmesh.app.wallet_history import read_moves_of
    from evmesh.app.wallet_pay import report_of
    from evmesh.app.wallet_refresh import refresh

    home = purse.home
    account = home.address()
    book = ChargeBook(home.directory)
    known = book.charges()

    async def look(place: "Place") -> Json:
        charges = await refresh(place, account, book, known)
        moves = await read_moves_of(place, account)
        said = None if moves is None else [one.to_json() for one in moves]
        return {"sessions": [report_of(one) for one in charges], "moves": said, "lines": moves, "of": charges}

    found = purse.at(look)
    moves: Sequence[Move] | None = found.pop("lines")
    charges: Sequence[Charge] = found.pop("of")
    lines = [_charge_line(one) for one in charges] or ["no charges yet"]
    if moves is None:
        lines += ["", "the node keeps no logs of old movements: ask another with --rpc"]
    else:
        zone = ZoneInfo(charges[-1].zone) if charges else UTC
        lines += ["", *(one.line(zone) for one in moves)]
    purse.say({"address": account.text, **found}, lines)


def _charge_line(charge: "Charge") -> str:
    """Say it to a person; times are those of the station's clock."""
    how = charge.note or charge.state or charge.stage.value
    return (
        f"{charge.there(charge.begun):%Y-%m-%d %H:%M %Z}  {spaced(charge.code)}  "
        f"{charge.delivered / 1000:8.3f} kWh  {charge.money(charge.cost):>16}  {charge.way.value:<9}  {how}"
    )
