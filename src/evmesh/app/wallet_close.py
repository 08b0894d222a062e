"""`evmesh wallet close`: the rest of a settled tab comes back at once, where the operator co-signs."""

from typing import Annotated

import typer

from evmesh.app.wallet_options import Flex, Purse, shown, signing
from evmesh.domain.money import parse_amount


@signing
def close_command(
    purse: Purse,
    amount: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="AMOUNT", help="end at this total, if you owe more than was claimed so far"
        ),
    ] = None,
    flex: Flex = False,
) -> None:
    """End the tab at an operator by agreement: the rest is back at once, without the window of an exit.

    The operator signs where no session of this wallet is open. One that does not is left by `wallet exit`.
    """
    from evmesh.app.wallet_moves import close

    total = None if amount is None else parse_amount(amount, "--at")
    signer = purse.unlock()
    done = purse.at(lambda place: close(place, signer, total), flex=flex)
    at, back = (shown(done[name], done["currency"]) for name in ("amount", "returned"))
    purse.say(
        done,
        [
            f"closed at {at}; {back} are back in the wallet",
            f"transaction  {done['transaction']}",
        ],
    )
