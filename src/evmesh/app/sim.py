"""`evmesh sim`: what a person does at a simulated site, for a first charge with a wallet of one's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.run_file import RunFile
from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_options import HOME, AsJson, Home, say, shown
from evmesh.app.wallet_wish import parse_energy
from evmesh.domain.errors import Refused
from evmesh.domain.money import parse_amount
from evmesh.domain.station_code import spaced

app = typer.Typer(
    name="sim",
    help="Try a simulated site out: development tokens, and a car at the plug.",
    no_args_is_help=True,
)

Code = Annotated[str, typer.Argument(metavar="CODE", help="what stands on the station")]
Data = Annotated[
    Path,
    typer.Option("--data", envvar="EVMESH_DATA", metavar="DIR", help="where the simulated site runs"),
]
DATA = Path("data")
_WHO = {"free": "free", "guest": "your car", "driver": "a simulated driver"}


@app.command("show")
def show_command(data: Data = DATA, json_output: AsJson = False) -> None:
    """List the simulated connectors: their codes, and who stands there."""
    with exit_on_error(json_output):
        found = _order(data, do="show")
        lines = [
            f"{spaced(one['code'])}  {one['name']:<10} {one['rating_w'] / 1000:6.2f} kW  {_WHO[one['who']]}"
            for one in found["places"]
        ]
        say(found, json_output, lines)


@app.command("faucet")
def faucet_command(
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="who gets it (without: your own wallet)")
    ] = None,
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="with at most 6 decimals")] = "50",
    gas: Annotated[
        bool, typer.Option("--gas", help="gas too, for who sends by itself (`--way transfer`)")
    ] = False,
    wallet: Home = HOME,
    data: Data = DATA,
    json_output: AsJson = False,
) -> None:
    """Give development tokens to an account. They are worth nothing, and there are enough of them."""
    from evmesh.app.wallet_moves import recipient

    with exit_on_error(json_output):
        account = WalletHome(wallet).address() if address is None else recipient(address)
        units = str(parse_amount(amount, "--amount"))
        done = _order(data, do="faucet", address=account.text, amount=units, gas=gas)
        lines = [
            f"given        {shown(done['amount'])} to {done['address']}",
            "and gas      for transfers of its own" if gas else "",
            f"transaction  {done['transaction']}",
        ]
        say(done, json_output, lines)


@app.command("plug")
def plug_command(
    code: Code,
    energy: Annotated[
        str, typer.Option(metavar="20kWh", help="what the car takes until it is full")
    ] = "20kWh",
    battery: Annotated[
        str | None, typer.Option(metavar="60kWh", help="its battery (without: one of a usual size)")
    ] = None,
    power: Annotated[
        str, typer.Option(metavar="7.36kW", help="of its charger; above 7.36 kW it uses three phases")
    ] = "7.36kW",
    data: Data = DATA,
    json_output: AsJson = False,
) -> None:
    """Plug a car of yours in at a simulated connector. It charges once you have paid."""
    from evmesh.app.grid import parse_power

    with exit_on_error(json_output):
        wanted: dict[str, Any] = {
            "energy_wh": parse_energy(energy),
            "battery_wh": None if battery is None else parse_energy(battery),
            "power_w": parse_power(power),
        }
        done = _order(data, do="plug", code=code, **wanted)
        say(done, json_output, [f"plugged in at {spaced(done['code'])} ({done['name']})"])


@app.command("unplug")
def unplug_command(code: Code, data: Data = DATA, json_output: AsJson = False) -> None:
    """Unplug your car; a charge that runs ends with that."""
    with exit_on_error(json_output):
        done = _order(data, do="unplug", code=code)
        received = f"{done['received_wh'] / 1000:g} kWh"
        say(done, json_output, [f"unplugged at {spaced(done['code'])}; the car received {received}"])


def _order(data: Path, **order: Any) -> dict[str, Any]:
    """Have it done; raises Unavailable `platform.not_running`, Refused `sim.not_simulated`."""
    from evmesh.app import sim_door

    if not RunFile.load(data).sim:
        raise Refused(
            "sim.not_simulated",
            f"what runs in {data} has real stations: cars are plugged in by hand, and tokens are money",
            do="start a simulated site with `evmesh up`",
        )
    return sim_door.order(data, order)
