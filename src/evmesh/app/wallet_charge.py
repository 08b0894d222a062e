"""`evmesh wallet pay`: the command line of a charge."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from evmesh.app.errors import EXIT_INTERRUPTED
from evmesh.app.wallet_home import By
from evmesh.app.wallet_options import Flex, Json, Purse, shown, signing
from evmesh.domain.errors import InvalidInput
from evmesh.domain.sessions import Way

if TYPE_CHECKING:
    from evmesh.app.wallet_pay import NoFit
    from evmesh.app.wallet_place import Place
    from evmesh.app.wallet_talk import Talk


@signing
def pay_command(
    purse: Purse,
    code: Annotated[str | None, typer.Argument(metavar="[CODE]", help="what stands on the station")] = None,
    energy: Annotated[str | None, typer.Option(metavar="12kWh", help="how much energy")] = None,
    money: Annotated[str | None, typer.Option(metavar="5.00", help="or: for how much money")] = None,
    time: Annotated[str | None, typer.Option(metavar="90min", help="or: for how long")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="HH:MM|RFC3339", help="when you leave (without: time enough)")
    ] = None,
    asap: Annotated[
        bool, typer.Option("--asap", help="as fast as possible: no smart charging, no reward")
    ] = False,
    way: Annotated[Way, typer.Option(help="who holds what meanwhile")] = Way.PREPAID,
    by: Annotated[
        By, typer.Option(help="how a deposit is signed: an EIP-2612 permit or an EIP-3009 authorization")
    ] = By.PERMIT,
    flex: Flex = False,
    take: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="if it does not fit, take the N-th offer")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="sign without asking")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the charge that is open")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="say stop to the charge that is open")] = False,
) -> None:
    """Pay for a charge at a station, follow it, and keep its checked receipt.

    Price, worst case and risk are shown before anything is signed. A charge that was left, or whose program
    was killed, is gone on with by the next call.
    """
    from evmesh.app.wallet_follow import Interrupted
    from evmesh.app.wallet_pay import NoFit, Paying, PayOptions, place_to_pay
    from evmesh.app.wallet_talk import Talk
    from evmesh.app.wallet_wish import parse_wish

    goes_on = resume or stop
    _require_one(code, goes_on=goes_on)
    _require_no_flex_transfer(way, flex=flex)
    wish = None if goes_on else parse_wish(energy, money, time, until, asap=asap, way=way)
    home, talk = purse.home, Talk(to_program=purse.json_output, yes=yes)
    signer = purse.unlock()
    options = PayOptions(by=by, take=take, stop=stop, flex=flex)

    async def pay(place: "Place") -> Json:
        there = await place_to_pay(place, home, flex=flex)
        return await Paying(there, home, signer, talk, options).pay(code, wish)

    try:
        done = purse.at(pay)
    except NoFit as refused:
        _say_offers(refused, talk, purse.json_output)
        raise typer.Exit(refused.exit_code) from refused
    except Interrupted as left:
        talk.say("", "the charge goes on; `evmesh wallet pay --resume` follows it")
        raise typer.Exit(EXIT_INTERRUPTED) from left
    purse.say(
        done,
        [
            f"charged  {int(done['energy_wh']) / 1000:g} kWh for {shown(done['cost'], done['currency'])}",
            f"receipt  {done['receipt']}",
        ],
    )


def _require_one(code: str | None, *, goes_on: bool) -> None:
    if code is None and not goes_on:
        raise InvalidInput(
            "wish.no_station", "no station is named", do="type the code that stands on it, or say --resume"
        )


def _require_no_flex_transfer(way: Way, *, flex: bool) -> None:
    if flex and way is Way.TRANSFER:
        raise InvalidInput(
            "wish.no_flex_transfer",
            "plain transfers are taken in the operator's own money only",
            do="pay in FLEX with --way prepaid or --way streaming",
            path="--flex",
        )


def _say_offers(refused: "NoFit", talk: "Talk", json_output: bool) -> None:
    if json_output:
        answer: Json = {
            "ok": False,
            "code": refused.code,
            "what": refused.what,
            "do": refused.do,
            "path": refused.path,
            "offers": [one.to_json() for one in refused.offers],
        }
        typer.echo(json.dumps(answer))
        return
    talk.say(*refused.lines())
    typer.echo(refused.describe(), err=True)
