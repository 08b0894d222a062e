"""What every command of `evmesh wallet` is told, and how it answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evmesh.app.wallet_home import WalletHome
from evmesh.domain.ids import Address
from evmesh.domain.money import format_units

if TYPE_CHECKING:
    from evmesh.app.wallet_place import Place, Where

Json = dict[str, Any]

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
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


def where_of(rpc: str | None, operator: str | None, payee: str | None, data: Path | None) -> "Where":
    """Give where the driver said that the money is."""
    from evmesh.app.wallet_place import Where

    return Where(rpc, operator, None if payee is None else Address.parse(payee), data)


def run_at(home: WalletHome, where: "Where", work: "Callable[[Place], Awaitable[Json]]") -> Json:
    """Open the place, checked, and give what is found or done there."""
    from evmesh.app.wallet_place import open_place

    async def opened() -> Json:
        async with open_place(home, where) as place:
            return await work(place)

    return asyncio.run(opened())


def say(report: Json, json_output: bool, lines: Sequence[str]) -> None:
    """Give a report to a program on stdout, or as lines to a person."""
    if json_output:
        typer.echo(json.dumps({"ok": True, **report}))
        return
    for line in filter(None, lines):
        typer.echo(line)


def shown(units: str) -> str:
    """Write units, as documents carry them, for a person."""
    return format_units(int(units))
