"""`evmesh wallet messages`: what a station says of a charge to its driver alone, on an encrypted channel."""

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_options import Json, Purse, signing
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.money import amount_words

if TYPE_CHECKING:
    from evmesh.app.channel_reader import Ended, Message
    from evmesh.app.wallet_place import Place
    from evmesh.ledger.signatures import KeySigner


@signing
def messages_command(
    purse: Purse,
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="whose messages (without: the newest charge's)")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="go on until the charge has ended")] = False,
) -> None:
    """Read what a station has said of a charge since the last call: power, limit, cost, finish, and why.

    The channel is for this wallet alone. The operator is asked once to let it in; what was said before that
    cannot be read, and what is said while the wallet is away is there afterwards.
    """
    home, json_output = purse.home, purse.json_output
    wanted = _session_of(home, session)
    signer = purse.unlock()
    done = purse.at(lambda place: _read(place, home, signer, wanted, follow=follow, json_output=json_output))
    if json_output:
        typer.echo(json.dumps({"ok": True, **done}))


async def _read(
    place: "Place",
    home: WalletHome,
    signer: "KeySigner",
    session: SessionId,
    *,
    follow: bool,
    json_output: bool,
) -> Json:
    from evmesh.app.channel_reader import OperatorAt, read_messages
    from evmesh.app.wallet_book import ChargeBook
    from evmesh.app.wallet_chain_clock import chain_clock

    if place.api is None:
        raise InvalidInput(
            "wallet.no_operator", "no operator is named", do="name its platform with --operator URL"
        )
    at = OperatorAt(place.api.url, place.trust.chain.domain)
    mine = (one for one in ChargeBook(home.directory).charges() if one.session == session.text)
    currency = next((one.currency for one in mine), place.coin.symbol)
    clock = await chain_clock(place.rpc)
    heard: list[Json] = []
    ended = False
    reading = read_messages(home.directory, signer, at, session, clock, follow_on=follow)
    async with aclosing(reading) as messages:
        async for one in messages:
            shown = _shown(one)
            if shown is None:
                ended = True
                continue
            heard.append(shown)
            if not json_output:
                typer.echo(_line(shown, currency))
    if not heard and not json_output:
        typer.echo("nothing new")
    return {"session": session.text, "messages": heard, "ended": ended}


def _session_of(home: WalletHome, text: str | None) -> SessionId:
    from evmesh.app.wallet_book import ChargeBook

    if text is not None:
        return SessionId.parse(text)
    known = next((one.session for one in ChargeBook(home.directory).charges() if one.session), None)
    if known is None:
        raise Refused("wallet.no_charge", "this wallet has paid for no charge yet")
    return SessionId.parse(known)


def _shown(one: "Message | Ended") -> dict[str, Any] | None:
    """Give a message as `--json` prints it; None for the end of the channel."""
    status = getattr(one, "status", None)
    if status is None:
        return None
    return {
        "at": status.at.isoformat().replace("+00:00", "Z"),
        "state": status.state.value,
        "power_w": status.power,
        "limit_w": status.limit,
        "energy_wh": status.energy,
        "soc_percent": status.soc_percent,
        "cost": str(status.cost),
        "finish_at": None
        if status.finish_at is None
        else status.finish_at.isoformat().replace("+00:00", "Z"),
        "reason": status.reason,
        "late": getattr(one, "late", False),
    }


def _line(shown: Json, currency: str) -> str:
    charge = "" if shown["soc_percent"] is None else f"  {shown['soc_percent']} %"
    return (
        f"{shown['at']}  {shown['state']:<10} {shown['power_w'] / 1000:5.2f} kW  "
        f"{shown['energy_wh'] / 1000:7.3f} kWh{charge}  {amount_words(int(shown['cost']), currency)}  "
        f"{shown['reason'].replace('_', ' ')}"
    )
