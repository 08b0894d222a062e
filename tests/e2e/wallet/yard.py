"""A yard of stations of another maker, on the real platform; drivers with the real command come to it."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evmesh.app.clock import SharedClock
from evmesh.app.run_file import RunFile
from evmesh.app.up import UpOptions, running
from evmesh.domain.chain import Contracts, Tab
from evmesh.domain.flex_voucher import flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import digest
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.keys import open_keys
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.token import Faucet
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from tests.drivers.ocpp_library_station import LibraryStation
from tests.e2e.wallet.light import light_wallet

PASSWORD = "correct horse"
PRICE = 350_000
EURO = 1_000_000
STATIONS = 9
SPEED = 60
NOBODY = Address("0x" + "00" * 20)
_SITE = """
name = "Yard of stations of another maker"
time_zone = "Europe/Amsterdam"
start = 2026-06-01T08:00:00+02:00
prices = "prices.csv"
"""
_GROUP = """
[[group]]
name = "{name}"
capacity_w = {capacity}
"""
_STATION = """
[[group.station]]
id = "{id}"
vendor = "ocpp"
model = "Library"
serial = "{id}"

[[group.station.connector]]
number = 1
name = "{id}"
evse_id = "NL*EVM*E{number}"
rating_w = 7360
phases = 1
max_current_ma = 32000
latitude_udeg = 52000000
longitude_udeg = -4000000
price = 350000
"""


class PacedStation(LibraryStation):
    """Lets the time pass that its energy takes: `flow_wh` is what a minute gives, and tests turn it."""

    clock: SharedClock
    flow_wh: int = 100

    async def meter(self, step_wh: int) -> None:
        await self.clock.sleep_until(self.clock.now() + timedelta(minutes=1))
        await super().meter(step_wh)

    async def charge_until_told(self) -> None:
        """Wait for a start, then charge and send a value each minute, until the stop."""
        connector, id_tag = await self.remote_starts.get()
        await self.say("Preparing")
        begin = self._start_of(connector, id_tag)
        answer = await self.call(begin)
        self.transaction_id = answer.transaction_id
        await self.say("Charging")
        while self.remote_stops.empty():
            await self.meter(self.flow_wh)
        self.remote_stops.get_nowait()
        await self._stop(self.transaction_id, id_tag)
        self.transaction_id = None

    def _start_of(self, connector: int, id_tag: str) -> Any:
        from ocpp.v16 import call

        return call.StartTransaction(
            connector_id=connector, id_tag=id_tag, meter_start=self.register, timestamp=self._stamp()
        )


@dataclass
class Yard:
    """The platform, and what tests need beside it."""

    data: Path
    run: RunFile
    _free: Iterator[int] = field(default_factory=lambda: iter(range(1, STATIONS + 1)))
    _wallets: Iterator[int] = field(default_factory=count)

    @property
    def contracts(self) -> Contracts:
        return load_deployment(self.data).contracts

    @property
    def payee(self) -> Address:
        return open_keys(self.data / "keys").operator.address

    @property
    def clock(self) -> SharedClock:
        return SharedClock(self.data / self.run.clock)

    def code(self, id: str) -> str:
        codes: dict[str, str] = json.loads((self.data / "codes.json").read_text())
        return codes[id]

    @asynccontextmanager
    async def station(self, id: str = "") -> AsyncIterator[PacedStation]:
        """Connect a station that nobody has used; it charges whenever it is told to."""
        id = id or f"LIB-{next(self._free)}"
        async with PacedStation.at(self.run.ocpp_url, id, now=lambda: self.clock.now()) as station:
            assert isinstance(station, PacedStation)
            station.clock = self.clock
            await station.boot()
            serving = asyncio.create_task(_serve(station))
            try:
                yield station
            finally:
                serving.cancel()
                await asyncio.wait([serving])

    async def driver(self, units: int = 100 * EURO) -> "WalletDevice":
        """Give a device with a fresh wallet that holds so much."""
        device = WalletDevice(self, self.data.parent / f"wallet-{next(self._wallets)}")
        device.address = light_wallet(device.home, PASSWORD)
        if units:
            await self._mint(device.address, units)
        return device

    async def reward(self, device: "WalletDevice", units: int) -> None:
        """Give a wallet so much FLEX as rewards come: by the operator's signed word, which anybody sends."""
        contracts = self.contracts
        word = FlexVoucher(device.address, units, b"\5" * 32)
        signer = open_keys(self.data / "keys").operator
        signature = signer.sign(digest(flex_domain(contracts.chain_id, contracts.flex), word, keccak256))
        voucher = {
            "holder": device.address.text,
            "cumulative": str(units),
            "certificate": "0x" + word.certificate.hex(),
            "signature": "0x" + signature.hex(),
        }
        async with httpx.AsyncClient(base_url=self.run.http_url, trust_env=False, timeout=60) as api:
            answer = await api.post("/v1/relay/flex", json={"voucher": voucher})
        assert answer.is_success, answer.text

    async def _mint(self, to: Address, units: int) -> None:
        async with self._minter() as minter:
            await Faucet(self.contracts.token, minter).mint(to, units, f"purse:{to}")

    async def give_gas(self, device: "WalletDevice") -> None:
        """Let a wallet pay gas of its own."""
        async with self._minter() as minter:
            await minter.submit(f"gas:{device.address}", device.address, b"", value=10**17)

    @asynccontextmanager
    async def _minter(self) -> AsyncIterator[Relayer]:
        database = Database(f"sqlite+aiosqlite:///{self.data.parent / 'purse.db'}")
        try:
            await database.migrate()
            async with JsonRpc(self.run.rpc_url) as rpc:
                yield Relayer(
                    rpc,
                    open_keys(self.data / "keys").deployer,
                    ChainJournal(database),
                    chain_id=self.contracts.chain_id,
                )
        finally:
            await database.close()

    async def session(self, id: str) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self.run.http_url, trust_env=False, timeout=60) as api:
            found: dict[str, Any] = (await api.get(f"/v1/sessions/{id}")).json()
            return found


@dataclass
class WalletDevice:
    """A driver's device: `await device("pay", …)` runs the command there and gives its report."""

    yard: Yard
    home: Path
    address: Address = NOBODY

    async def __call__(self, *arguments: str, **more: str) -> dict[str, Any]:
        process = await self.start(*arguments, **more)
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        last = out.decode().strip().splitlines()[-1:] or ["{}"]
        report: dict[str, Any] = json.loads(last[0])
        return {**report, "exit": process.returncode, "err": err.decode()}

    async def start(self, *arguments: str, **more: str) -> asyncio.subprocess.Process:
        """Run the command, and do not wait for it."""
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(**more),
        )

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVMESH_")}
        given = {
            "EVMESH_WALLET": str(self.home),
            "EVMESH_WALLET_PASSWORD": PASSWORD,
            "EVMESH_RPC": self.yard.run.rpc_url,
            "EVMESH_OPERATOR": self.yard.run.http_url,
        }
        return {name: value for name, value in {**kept, **given, **more}.items() if value}

    def charges(self) -> list[dict[str, Any]]:
        """Give what the wallet wrote down, the newest first."""
        files = sorted((self.home / "charges").glob("*.json"), reverse=True)
        return [json.loads(file.read_text()) for file in files]

    async def native(self) -> int:
        async with JsonRpc(self.yard.run.rpc_url) as rpc:
            return int(await rpc.call("eth_getBalance", self.address.text, "latest"), 16)

    async def tab(self) -> Tab:
        async with JsonRpc(self.yard.run.rpc_url) as rpc:
            return await TabReader(rpc, self.yard.contracts.charge_tab).tab(self.yard.payee, self.address)


COMMAND = (sys.executable, "-c", "from evmesh.app.main import main; main()", "wallet")


@asynccontextmanager
async def lying_operator(yard: Yard, lie: Callable[[str, Any], None]) -> AsyncIterator[str]:
    """Stand between a wallet and the platform, and let `lie` change what it answers; gives the URL."""

    async def handle(request: Request) -> Response:
        async with httpx.AsyncClient(base_url=yard.run.http_url, trust_env=False, timeout=60) as api:
            answer = await api.request(
                request.method,
                request.url.path,
                content=await request.body(),
                headers={"content-type": "application/json"},
            )
        content = answer.content
        if "json" in answer.headers["content-type"]:
            document = answer.json()
            lie(request.url.path, document)
            content = json.dumps(document).encode()
        return Response(content, answer.status_code, media_type=answer.headers["content-type"])

    app = Starlette(routes=[Route("/{path:path}", handle, methods=["GET", "POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def _serve(station: PacedStation) -> None:
    while True:
        await station.charge_until_told()


async def until(condition: Any, what: str, within_s: float = 60) -> None:
    """Wait for something that is looked up; fails with `what` where it does not come."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None


def kill(process: asyncio.subprocess.Process) -> None:
    """End a command as a power cut does."""
    process.send_signal(signal.SIGKILL)


@contextmanager
def running_yard(directory: Path) -> Iterator[Yard]:
    """Run the platform in a thread of its own, so that every test has its own loop."""
    site = directory / "site.toml"
    big = [_STATION.format(id=f"LIB-{number}", number=f"LIB{number}") for number in range(1, STATIONS + 1)]
    small = [_STATION.format(id="TINY-1", number="TINY1")]
    groups = [_GROUP.format(name="big", capacity=60_000), *big]
    groups += [_GROUP.format(name="tiny", capacity=3_000), *small]
    site.write_text("".join([_SITE, *groups]))
    hours = "\n".join(f"2026-06-01T{hour:02}:00:00,{50 + hour}" for hour in range(24))
    (directory / "prices.csv").write_text(hours + "\n")
    options = UpOptions(site, directory / "data", port=0, ocpp_port=0, speed=SPEED, with_sim=False)
    ready, failed = threading.Event(), list[BaseException]()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    runs = list[RunFile]()

    async def up() -> None:
        async with running(options, lambda _: None) as run:
            runs.append(run)
            ready.set()
            await stop.wait()

    def thread() -> None:
        try:
            loop.run_until_complete(up())
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    worker = threading.Thread(target=thread)
    worker.start()
    ready.wait(90)
    if failed:
        raise failed[0]
    try:
        yield Yard(directory / "data", runs[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        worker.join(60)
