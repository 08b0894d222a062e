"""`evmesh sim` at its door: only at a simulated site, only for the owner of the directory, in plain words."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evmesh.app import sim
from evmesh.app.run_file import RunFile
from evmesh.app.sim_door import SOCKET, DevFaucet, SimDoor, order
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.domain.station_code import code_of
from tests.unit.sim.test_sim_guests import Yard

NOBODY = "0x" + "5a" * 20
ORDERS = (["show"], ["faucet", NOBODY], ["plug", "7K3P-M9QT"], ["unplug", "7K3P-M9QT"])


class Purse(DevFaucet):
    """A faucet that notes what it gave."""

    def __init__(self) -> None:
        self.given: list[tuple[str, int, bool]] = []

    async def give(self, account: Any, units: int, *, gas: bool) -> dict[str, Any]:
        self.given.append((account.text, units, gas))
        return {"address": account.text, "amount": str(units), "gas_wei": "0", "transaction": "0x00"}


@asynccontextmanager
async def open_door(data: Path) -> AsyncIterator[tuple[Yard, Purse]]:
    (data / "sim").mkdir(parents=True)
    yard, purse = Yard(data / "sim" / "sim.db"), Purse()
    serving = asyncio.create_task(SimDoor(data, yard.guests, purse).run())
    try:
        async with asyncio.timeout(10):
            while not (data / SOCKET).exists():
                await asyncio.sleep(0.01)
        yield yard, purse
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        yard.state.close()


async def ask(data: Path, **document: Any) -> dict[str, Any]:
    return await asyncio.to_thread(order, data, document)


async def test_what_is_ordered_is_done_and_what_is_refused_keeps_its_words(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 100) / "data"  # an address of a socket has room for 107 bytes
    async with open_door(data) as (yard, purse):
        assert stat.S_IMODE((data / SOCKET).stat().st_mode) == 0o600
        car = {"energy_wh": 5_000, "power_w": 7_360, "battery_wh": None}
        plugged = await ask(data, do="plug", code=code_of(1), **car)
        assert (plugged["name"], plugged["rating_w"]) == ("CA-1", 22_000)
        assert [one["who"] for one in (await ask(data, do="show"))["places"]] == ["guest", "free"]
        with pytest.raises(Refused) as taken:
            await ask(data, do="plug", code=code_of(1), **car)
        assert (taken.value.code, taken.value.do) == (
            "sim.place_taken",
            "choose a free one: `evmesh sim show`",
        )
        assert (await ask(data, do="unplug", code=code_of(1)))["received_wh"] == 0
        await ask(data, do="faucet", address=NOBODY, amount="5000000", gas=True)
        assert purse.given == [(NOBODY, 5_000_000, True)]
        assert yard.who() == ["free", "free"]
    assert not (data / SOCKET).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"do": "dance"},
        {"do": 5},
        {"do": "plug"},
        {"do": "plug", "code": code_of(1), "energy_wh": float("inf"), "power_w": 1},
        {"do": "faucet", "address": 1},
    ],
)
async def test_an_order_that_is_none_is_refused_and_the_door_stays_open(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with open_door(tmp_path / "data"):
        with pytest.raises(InvalidInput):
            await ask(tmp_path / "data", **wrong)
        assert (await ask(tmp_path / "data", do="show"))["places"]


async def test_a_socket_that_a_killed_simulation_left_is_replaced(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sim").mkdir(parents=True)
    (data / SOCKET).touch()
    with pytest.raises(Unavailable, match=r"sim\.away"):
        await ask(data, do="show")
    (data / SOCKET).rename(data / "left")
    (data / "sim").rmdir()
    async with open_door(data):
        assert (await ask(data, do="show"))["places"]


def run_file(data: Path, door: str) -> None:
    RunFile(1, "site.toml", 60, 8080, 9000, 1883, "http://127.0.0.1:1", "clock", door).save(data)


@pytest.mark.parametrize("words", ORDERS, ids=lambda words: words[0])
def test_at_a_site_that_is_not_simulated_nothing_is_plugged_in_or_given(
    tmp_path: Path, words: list[str]
) -> None:
    call = [*words, "--data", str(tmp_path), "--json"]
    for door, exit_code, code in (
        (None, 4, "platform.not_running"),
        ("", 3, "sim.not_simulated"),
        (SOCKET, 4, "sim.away"),
    ):
        if door is not None:
            run_file(tmp_path, door)
        done = CliRunner().invoke(sim.app, call)
        assert (done.exit_code, json.loads(done.stdout)["code"]) == (exit_code, code)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["faucet", NOBODY, "--amount", "-1"], "money.negative"),
        (["faucet", "0x5a"], "address.malformed"),
        (["faucet", "--wallet", "nowhere"], "wallet.none"),
        (["plug", "7K3P-M9QT", "--energy", "much"], "wish.bad_energy"),
        (["plug", "7K3P-M9QT", "--power", "much"], "grid.bad_power"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    tmp_path: Path, words: list[str], code: str
) -> None:
    done = CliRunner().invoke(sim.app, [*words, "--data", str(tmp_path), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (2, code)
