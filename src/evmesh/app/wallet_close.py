"""`evmesh wallet close`: the rest of a settled tab comes back at once, where the operator co-signs."""

from typing import Annotated

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.wallet_home import WalletHome, password_from
from evmesh.app.wallet_options import (
    HOME,
    AsJson,
    DataDir,
    Home,
    Operator,
    PasswordFile,
    Payee,
    Rpc,
    run_at,
    say,
    shown,
    where_of,
)
from evmesh.domain.money import parse_amount


def close_command(
    amount: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="AMOUNT", help="end at this total, if you owe more than was claimed so far"
        ),
    ] = None,
    wallet: Home = HOME,
    password_file: PasswordFile = None,
    rpc: Rpc = None,
    operator: Operator = None,
    payee: Payee = None,
    data: DataDir = None,
    json_output: AsJson = False,
) -> None:
    """End the tab at an operator by agreement: the rest is back at once, without the window of an exit.

    The operator signs where no session of this wallet is open. One that does not is left by `wallet exit`.
    """
    from evmesh.app.wallet_moves import close

    with exit_on_error(json_output):
        home = WalletHome(wallet)
        total = None if amount is None else parse_amount(amount, "--at")
        home.address()
        where = where_of(rpc, operator, payee, data)
        signer = home.unlock(password_from(password_file))
        done = run_at(home, where, lambda place: close(place, signer, total))
        say(
            done,
            json_output,
            [
                f"closed at {shown(done['amount'])}; {shown(done['returned'])} are back in the wallet",
                f"transaction  {done['transaction']}",
            ],
        )
