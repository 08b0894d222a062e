"""`evmesh wallet history`: every charge and every movement of money, by own files and by the chain."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from evmesh.app.errors import exit_on_error
from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_options import (
    HOME,
    AsJson,
    DataDir,
    Home,
    Json,
    Operator,
    Payee,
    Rpc,
    run_at,
    say,
    shown,
    where_of,
)

if TYPE_CHECKING:
    from evmesh.app.wallet_history import Move
    from evmesh.app.wallet_place import Place


def history_command(
    wallet: Home = HOME,
    rpc: Rpc = None,
    operator: Operator = None,
    payee: Payee = None,
    data: DataDir = None,
    json_output: AsJson = False,
) -> None:
    """Show every charge of this wallet, and every movement of its money; needs no password.

    Charges are from its own files. Movements are from a node: old ones only where it keeps such logs.
    """
    from evmesh.app.wallet_book import ChargeBook
    from evmesh.app.wallet_history import read_moves_of
    from evmesh.app.wallet_pay import report_of

    with exit_on_error(json_output):
        home = WalletHome(wallet)
        account = home.address()
        charges = [report_of(one) for one in ChargeBook(home.directory).charges()]

        async def look(place: "Place") -> Json:
            moves = await read_moves_of(place, account)
            return {"moves": None if moves is None else [one.to_json() for one in moves], "known": moves}

        found = run_at(home, where_of(rpc, operator, payee, data), look)
        moves: Sequence[Move] | None = found.pop("known")
        lines = [_charge_line(one) for one in charges] or ["no charges yet"]
        if moves is None:
            lines += ["", "the node keeps no logs of old movements: ask another with --rpc"]
        else:
            lines += ["", *(one.line() for one in moves)]
        say({"address": account.text, "sessions": charges, **found}, json_output, lines)


def _charge_line(charge: Json) -> str:
    begun = datetime.fromisoformat(charge["begun"]).astimezone()
    how = charge["note"] or charge["state"] or charge["stage"]
    return (
        f"{begun:%Y-%m-%d %H:%M}  {charge['station']}  {charge['energy_wh'] / 1000:8.3f} kWh  "
        f"{shown(charge['cost']):>9}  {charge['way']:<9}  {how}"
    )
