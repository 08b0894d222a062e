"""What every command of `evmesh wallet` is told, and how it answers: in one place for all of them."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.wallet_home import WalletHome, password_from
from evmesh.domain.ids import Address
from evmesh.domain.money import amount_words

if TYPE_CHECKING:
    from evmesh.app.wallet_place import Place, Where
    from evmesh.ledger.signatures import KeySigner

Json = dict[str, Any]
Own = ParamSpec("Own")

Home = Annotated[
    Path,
    typer.Option("--wallet", envvar="EVMESH_WALLET", metavar="DIR", help="where the keystore is"),
]
HOME: Final = Path.home() / ".evmesh" / "wallet"
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        envvar="EVMESH_WALLET_PASSWORD_FILE",
        metavar="FILE",
        help="its first line is the password (without: EVMESH_WALLET_PASSWORD, or you are asked)",
    ),
]
Rpc = Annotated[
    str | None,
    typer.Option(envvar="EVMESH_RPC", metavar="URL", help="a node of the chain (without: its public one)"),
]
Operator = Annotated[
    str | None, typer.Option(envvar="EVMESH_OPERATOR", metavar="URL", help="the operator's platform")
]
Payee = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="the operator, where the wallet knows several")
]
DataDir = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="a platform that runs on this machine, for both")
]
Flex = Annotated[
    bool, typer.Option("--flex", help="in FLEX of this operator, which it takes 1:1 for its own money")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


@dataclass(frozen=True, slots=True)
class Purse:
    """What a command works with: the wallet, where its money is, and who hears the answer."""

    home: WalletHome
    where: "Where"
    password_file: Path | None
    json_output: bool

    def unlock(self) -> "KeySigner":
        """Give the key, once the password is known."""
        self.home.address()  # nobody is asked for the password of a wallet that is not there
        return self.home.unlock(password_from(self.password_file))

    def at(self, work: "Callable[[Place], Awaitable[Json]]", *, flex: bool = False) -> Json:
        """Open the operator's place, checked, and give what is found or done there, and in which money.

        With `flex` the operator's FLEX is spoken of.
        """
        from evmesh.app.wallet_place import open_place

        async def opened() -> Json:
            async with open_place(self.home, self.where) as place:
                there = await place.in_flex() if flex else place
                return {"currency": there.coin.symbol, **await work(there)}

        return asyncio.run(opened())

    def say(self, report: Json, lines: Sequence[str]) -> None:
        """Answer."""
        say(report, self.json_output, lines)


def _asked(
    wallet: Home = HOME,
    rpc: Rpc = None,
    operator: Operator = None,
    payee: Payee = None,
    data: DataDir = None,
    json_output: AsJson = False,
    password_file: PasswordFile = None,
) -> Purse:
    """Give what the options that all commands have in common say."""
    from evmesh.app.wallet_place import Where

    where = Where(rpc, operator, None if payee is None else Address.parse(payee), data)
    return Purse(WalletHome(wallet), where, password_file, json_output)


_SHARED: Final = inspect.signature(_asked).parameters


def signing(body: Callable[Concatenate[Purse, Own], None]) -> Callable[..., None]:
    """Make a command of `body`: to its own options come those of all, and its failures are said."""
    return _command(body, tuple(_SHARED))


def looking(body: Callable[Concatenate[Purse, Own], None]) -> Callable[..., None]:
    """Make a command that needs no password."""
    return _command(body, tuple(name for name in _SHARED if name != "password_file"))


def _command(body: Callable[Concatenate[Purse, Own], None], shared: Sequence[str]) -> Callable[..., None]:
    own, work = list(inspect.signature(body).parameters.values())[1:], _untyped(body)

    @wraps(body)
    def command(**given: Any) -> None:
        common = {name: given.pop(name) for name in shared}
        with exit_on_error(common["json_output"]):
            work(_asked(**common), **given)

    whole = [*own, *(_SHARED[name] for name in shared)]
    hints = {one.name: one.annotation for one in whole}
    # Typer reads both of what it is given to make the options
    command.__signature__ = inspect.Signature(whole)  # type: ignore[attr-defined]
    command.__annotations__ = hints
    return command


def _untyped(body: Callable[Concatenate[Purse, Own], None]) -> Callable[..., None]:
    """Let go of what a body is given beside the purse: Typer gives what its signature says."""
    return body


def say(report: Json, json_output: bool, lines: Sequence[str]) -> None:
    """Give a report to a program on stdout, or as lines to a person."""
    if json_output:
        typer.echo(json.dumps({"ok": True, **report}))
        return
    for line in filter(None, lines):
        typer.echo(line)


def shown(units: str, currency: str = "") -> str:
    """Write units, as documents carry them, for a person."""
    return amount_words(int(units), currency)
