"""Drivers with a wallet and no car: they book and never pay, pay and never come, or change their mind."""

import asyncio
import itertools
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from evmesh.app.run_file import RunFile
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.flex_voucher import SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.sessions import TERMINAL, State
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.flex import FlexToken
from evmesh.ledger.keys import open_keys, open_secret
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures, KeySigner, keccak256
from evmesh.ledger.token import Faucet
from evmesh.ledger.wallet import LocalWallet
from evmesh.sim.api_client import ApiClient, Denied, Document
from evmesh.sim.progress import Accepted, Ask
from evmesh.sim.signing import Terms, deposit_document
from evmesh.sim.visits import Money
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from tests.drivers.clocks import HandClock
from tests.e2e.kill.site_files import FLEX_PLACES, flex_drivers

PURSE = 20_000_000
FLEX_PURSE = 200_000_000
"""What was ever earned by each who pays in FLEX: enough for all charges, since no faucet gives more."""
_BUSY = frozenset(
    {
        "connector.taken",
        "payer.session_open",
        "station.out_of_service",
        "reservation.too_many_unpaid",
    }
)
_DEPOSIT_FIRST = "reservation.unpaid_before"
_TOO_LATE = frozenset({"reservation.ended", "session.wrong_state", "voucher.too_late"})
_RETRY_S = 0.25
_PATIENCE_S = 200.0
_T = TypeVar("_T")


async def fill_purses(data: Path, drivers: Sequence["WalletDriver"], journal: Path) -> None:
    """Mint for drivers; to be called while nobody else uses the faucet."""
    run, deployment = RunFile.load(data), load_deployment(data)
    database = Database(f"sqlite+aiosqlite:///{journal}")
    try:
        await database.migrate()
        async with JsonRpc(run.rpc_url) as rpc:
            chain_id = deployment.contracts.chain_id
            minter = Relayer(
                rpc, open_keys(data / "keys").deployer, ChainJournal(database), chain_id=chain_id
            )
            faucet = Faucet(deployment.contracts.token, minter)
            for driver in drivers:
                await faucet.mint(driver.signer.address, PURSE, f"purse:{driver.signer.address}")
            wallets = data / "sim" / "wallets"
            wallets.mkdir(mode=0o700, parents=True, exist_ok=True)  # the simulation may not be so far
            cars = [KeySigner(open_secret(wallets / f"{name}.key")) for name in flex_drivers()]
            mine = [driver.signer for driver in drivers if driver.money is Money.FLEX]
            await _reward(data, minter, [one.address for one in (*cars, *mine)])
    finally:
        await database.close()


async def _reward(data: Path, sender: Relayer, holders: Sequence[Address]) -> None:
    """Have FLEX made, by the operator's word."""
    contracts, operator = load_deployment(data).contracts, open_keys(data / "keys").operator
    domain, vouchers = flex_domain(contracts.chain_id, contracts.flex), []
    for holder in holders:
        value = FlexVoucher(holder, FLEX_PURSE, bytes(32))
        signature = operator.sign(digest(domain, value, keccak256))
        vouchers.append(SignedFlexVoucher(contracts.chain_id, contracts.flex, value, signature))
    quota = RelayQuota(RelayPolicy(), HandClock())
    token = FlexToken(contracts.flex, operator.address, contracts.chain_id, relayer=sender, quota=quota)
    await token.mint(vouchers)


class WalletDriver:
    """One key, at one place. Everything is asked again while the platform is away, as any client does."""

    def __init__(self, data: Path, place: str) -> None:
        self.signer = KeySigner(secrets.token_bytes(31) + b"\1")
        self.money = Money.FLEX if place in FLEX_PLACES else Money.TOKEN
        self._data = data
        self._place = place
        self._signatures = EthereumSignatures()

    async def live(self, is_over: Callable[[], bool]) -> None:
        """Charge again and again without a car, in one way after the other, until it is over."""
        quick = self._changes_its_mind
        ways = itertools.cycle((quick, self._never_pays, quick, self._never_comes))
        for _ in range(int(self._place[-1])):
            next(ways)  # each driver begins with another way
        while not is_over():
            booked = await self.book()
            await next(ways)(booked)
            await self.ended(booked)

    async def _never_pays(self, booked: Accepted) -> None:
        """Let the reservation expire."""

    async def _never_comes(self, booked: Accepted) -> None:
        """Pay in three vouchers, each for more, as a car would that is plugged in."""
        await self.pay(booked, vouchers=3)

    async def _changes_its_mind(self, booked: Accepted) -> None:
        await self.pay(booked)
        await self.change_mind(booked)

    async def book(self) -> Accepted:
        """Ask for an hour's charge until it is promised."""
        ask: Ask | None = None

        async def once(api: ApiClient, wallet: LocalWallet) -> Accepted | None:
            nonlocal ask
            page = _granted(await api.station(self._code()))
            if ask is None:
                ask = self._ask(page)
            terms = Terms.of_station(wallet, self._signatures, page, self.money)
            answer = await api.request(terms.request_document(ask, self._code()))
            if isinstance(answer, Denied) and answer.code == _DEPOSIT_FIRST:
                await self._deposit(api, wallet, page, ask.max_cost, terms)
            if isinstance(answer, Denied) and answer.code in {_DEPOSIT_FIRST, *_BUSY}:
                ask = None
                return None
            return terms.check_offer(ask, page, _granted(answer))

        return await self._insist(once)

    async def _deposit(
        self, api: ApiClient, wallet: LocalWallet, page: Document, ceiling: int, terms: Terms
    ) -> None:
        """Put in what a charge may cost: too many promises have ended unpaid to be given another one."""
        payee, deadline = Address.parse(str(page["payee"])), _unix(page["now"]) + 3600
        order = await wallet.deposit_order(payee, ceiling, deadline)
        if order is not None:
            _granted(await api.relay(deposit_document(order, terms)))

    async def pay(self, accepted: Accepted, *, vouchers: int = 1) -> str:
        """Deposit, and send so many vouchers up to the budget; give the state that the last one met."""

        async def once(api: ApiClient, wallet: LocalWallet) -> str:
            page = _granted(await api.station(self._code()))
            terms = Terms.of_station(wallet, self._signatures, page, self.money)
            deadline = _unix(page["now"]) + 3600
            ceiling = accepted.base + accepted.budget
            order = await wallet.deposit_order(terms.payee_of(accepted), ceiling, deadline)
            if order is not None:
                _granted(await api.relay(deposit_document(order, terms)))
            state = ""
            for part in range(1, vouchers + 1):
                cumulative = accepted.base + accepted.budget * part // vouchers
                document = terms.voucher_document(accepted, cumulative)
                answer = await api.voucher(accepted.session, document)
                if isinstance(answer, Denied) and answer.code in _TOO_LATE:
                    return state or State.EXPIRED
                state = str(_granted(answer)["state"])
            return state

        return await self._insist(once)

    async def change_mind(self, accepted: Accepted) -> str:
        """Say stop; give the state that the platform answers with."""

        async def once(api: ApiClient, wallet: LocalWallet) -> str:
            page = _granted(await api.station(self._code()))
            terms = Terms.of_station(wallet, self._signatures, page, self.money)
            document = terms.stop_document(accepted.session, _unix(page["now"]))
            return str(_granted(await api.stop(accepted.session, document))["state"])

        return await self._insist(once)

    async def ended(self, accepted: Accepted) -> str:
        """Give the session's last state, once it is there."""

        async def once(api: ApiClient, wallet: LocalWallet) -> str | None:
            state = str(_granted(await api.session(accepted.session))["state"])
            return state if state in TERMINAL else None

        return await self._insist(once)

    def _ask(self, page: Document) -> Ask:
        now = _unix(page["now"])
        return Ask(
            asset=int(page["asset"]),
            departure=now + 5400,
            energy=Wh(2_000),
            flexible=True,
            max_cost=2 * int(page["price"]) + 1,
            nonce=f"0x{secrets.token_bytes(32).hex()}",
            deadline=now + 1800,
        )

    def _code(self) -> str:
        codes: dict[str, str] = json.loads((self._data / "codes.json").read_text())
        return codes[self._place]

    async def _insist(self, once: Callable[[ApiClient, LocalWallet], Awaitable[_T | None]]) -> _T:
        """Try until there is an answer; where the platform is may change with its supervisor."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    run = RunFile.load(self._data)
                    async with ApiClient(run.http_url) as api, JsonRpc(run.rpc_url) as rpc:
                        contracts = load_deployment(self._data).contracts
                        escrow = contracts.flex_tab if self.money is Money.FLEX else None
                        wallet = LocalWallet(self.signer, rpc, contracts.ref(escrow))
                        answer = await once(api, wallet)
                    if answer is not None:
                        return answer
                except Unavailable:
                    pass
                await asyncio.sleep(_RETRY_S)


def _granted(answer: Document | Denied) -> Document:
    if isinstance(answer, Denied):
        raise Refused(answer.code, json.dumps(answer.problem))
    return answer


def _unix(text: Any) -> int:
    return int(datetime.fromisoformat(str(text)).timestamp())
