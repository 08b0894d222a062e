"""`evmesh wallet`: a driver's keys and money on the driver's own device."""

import json
import secrets
from typing import TYPE_CHECKING, Annotated, Final

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import read_input
from evmesh.app.wallet_charge import pay_command
from evmesh.app.wallet_close import close_command
from evmesh.app.wallet_history_command import history_command
from evmesh.app.wallet_home import By, WalletHome, password_from
from evmesh.app.wallet_messages import messages_command
from evmesh.app.wallet_money import FLEX
from evmesh.app.wallet_options import (
    HOME,
    AsJson,
    Flex,
    Home,
    Json,
    PasswordFile,
    Purse,
    looking,
    say,
    shown,
    signing,
)
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import parse_amount

if TYPE_CHECKING:
    from evmesh.app.wallet_place import Place

app = typer.Typer(
    name="wallet", help="Keep a driver's keys on this device, and move money with them.", no_args_is_help=True
)

_MAX_WORDS: Final = 4096
_AMOUNTS: Final = {"ignore_unknown_options": True}
"""So that -5 reaches us, who say what is wrong with it."""

_STEPS: Final = {
    "begun": "you are leaving; until {until} the operator may claim what you signed: call this again then",
    "waiting": "you are leaving; the rest can be had back from {until} on",
    "finished": "you have left, and the rest is back in the wallet",
}

Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="with at most 6 decimals, e.g. 12.5")]


app.command("pay")(pay_command)
app.command("history")(history_command)
app.command("messages")(messages_command)
app.command("close", context_settings=_AMOUNTS)(close_command)


@app.command("new")
def new_command(
    wallet: Home = HOME,
    password_file: PasswordFile = None,
    words: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="restore from these words; - is stdin (without: new ones)"),
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Make a key on this device, or restore one from its words, and keep it under a password."""
    from evmesh.ledger.seed import new_words, secret_of

    with exit_on_error(json_output):
        home = WalletHome(wallet)
        home.require_free()
        text = new_words(secrets.token_bytes) if words is None else _typed(words)
        secret = secret_of(text)
        address = home.create(secret, password_from(password_file, twice=True))
        made = {"address": address.text, "keystore": str(home.keystore)}
        if words is None:
            made["words"] = text
        if json_output:
            say(made, json_output, ())
            return
        typer.echo(f"account   {address}\nkeystore  {home.keystore}")
        if words is None:
            typer.echo(
                f"\nwrite these words down, in this order, and show them to nobody:\n\n  {text}\n\n"
                "they are shown once; who has them has the money, and without them a lost keystore is gone"
            )


@app.command("show")
def show_command(wallet: Home = HOME, json_output: AsJson = False) -> None:
    """Show the account, and the operators that it has dealt with; needs no password and no node."""
    with exit_on_error(json_output):
        home = WalletHome(wallet)
        known = {
            payee.text: {
                "chain_id": trust.chain.chain_id,
                "charge_tab": trust.chain.charge_tab.text,
                "flex_tab": None if trust.flex is None else trust.flex.escrow.text,
            }
            for payee, trust in home.operators().items()
        }
        account = home.address().text
        if json_output:
            say({"address": account, "keystore": str(home.keystore), "operators": known}, json_output, ())
            return
        typer.echo(f"account   {account}\nkeystore  {home.keystore}")
        for payee, chain in known.items():
            flex = ", takes its FLEX 1:1" if chain["flex_tab"] else ""
            typer.echo(f"operator  {payee} on chain {chain['chain_id']}{flex}")


@app.command("balance")
@looking
def balance_command(purse: Purse) -> None:
    """Show what the wallet holds, and what is in its tab at an operator; needs no password."""
    from evmesh.app.wallet_moves import all_holdings

    account = purse.home.address()

    async def look(place: "Place") -> Json:
        found = await all_holdings(place, account)
        return {"address": account.text, "payee": place.payee.text, **found}

    found = purse.at(look)
    tab = found["tab"]
    lines = [
        f"in the wallet  {shown(found['tokens'], found['currency'])}",
        f"in the tab     {shown(tab['left'], found['currency'])}   at {found['payee']}",
        *_leaving(tab, "evmesh wallet exit"),
    ]
    if flex := found["flex"]:
        lines += [
            f"in the wallet  {shown(flex['tokens'], FLEX)}",
            f"in the tab     {shown(flex['tab']['left'], FLEX)}   for charging, 1:1",
            *_leaving(flex["tab"], "evmesh wallet exit --flex"),
        ]
    purse.say(found, lines)


@app.command("deposit", context_settings=_AMOUNTS)
@signing
def deposit_command(
    purse: Purse,
    amount: Amount,
    by: Annotated[
        By, typer.Option(help="what is signed: an EIP-2612 permit or an EIP-3009 authorization")
    ] = By.PERMIT,
    flex: Flex = False,
) -> None:
    """Put money into the tab at an operator, or more on top; the operator's relayer sends it, free of gas."""
    from evmesh.app.wallet_moves import deposit

    units = parse_amount(amount)
    signer = purse.unlock()
    done = purse.at(lambda place: deposit(place, purse.home, signer, units, by), flex=flex)
    given, held = (shown(done[name], done["currency"]) for name in ("deposited", "in_tab"))
    purse.say(done, [f"deposited {given}; {held} are in the tab", _hash(done)])


@app.command("transfer", context_settings=_AMOUNTS)
@signing
def transfer_command(
    purse: Purse,
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="an account, or a station's deposit address")],
    amount: Amount,
) -> None:
    """Send tokens to an account. This costs gas of the wallet's own."""
    from evmesh.app.wallet_moves import recipient, transfer

    units, receiver = parse_amount(amount), recipient(to)
    signer = purse.unlock()
    done = purse.at(lambda place: transfer(place, purse.home, signer, receiver, units))
    purse.say(done, [f"sent {shown(done['sent'], done['currency'])} to {done['to']}", _hash(done)])


@app.command("exit")
@signing
def exit_command(
    purse: Purse,
    own_gas: Annotated[
        bool, typer.Option("--own-gas", help="send it from the wallet's own account, past the operator")
    ] = False,
    sign_only: Annotated[
        bool, typer.Option("--sign-only", help="print the signed call, for anybody to send")
    ] = False,
    flex: Flex = False,
) -> None:
    """Leave an operator's tab: the first call begins, one after the window has the rest paid back.

    Without --operator, or with --own-gas, it is sent from the wallet's own account. What was begun cannot be
    taken back.
    """
    from evmesh.app.wallet_moves import leave, signed_exit

    signer = purse.unlock()
    if sign_only:
        call = purse.at(lambda place: signed_exit(place, signer), flex=flex)
        call.pop("currency")
        typer.echo(json.dumps({"ok": True, **call} if purse.json_output else call))
        return
    done = purse.at(lambda place: leave(place, purse.home, signer, own_gas=own_gas), flex=flex)
    words = _STEPS[done["step"]].format(**done)
    rest = str(done.get("returned") or done["left"])
    purse.say(done, [words, f"the rest  {shown(rest, done['currency'])}", _hash(done)])


def _typed(name: str) -> str:
    try:
        return read_input(name, _MAX_WORDS).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("seed.malformed", "these are not the words of a seed: they are no text") from error


def _leaving(tab: Json, command: str) -> list[str]:
    """Say from when on the rest of a tab can be had back, where it is being left."""
    if not tab["exit_at"]:
        return []
    return [f"leaving        from {tab['exit_at']} on it can be had back with `{command}`"]


def _hash(done: Json) -> str:
    return f"transaction  {done['transaction']}" if done.get("transaction") else ""
