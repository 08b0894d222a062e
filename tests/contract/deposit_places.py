"""Deposit addresses for the port's contract suite: in memory, and on a real chain with a real token."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import Address, EvseId
from evmesh.domain.transfers import TransferRef
from evmesh.ledger.abi import encode_call
from evmesh.ledger.deposits import DepositAddresses
from evmesh.ledger.keys import deposit_signer
from evmesh.ledger.rpc import JsonRpc, NodeRefused
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.token import Faucet, Token
from evmesh.ports import DepositChain
from tests.contract.chain import Chain
from tests.contract.ledger_world import EURO, Ledger, running_ledger
from tests.drivers.clocks import HandClock
from tests.fakes.deposits import FakeDepositChain

SECRET = b"\x11" * 32
"""The operator's key, of which deposit keys are derived."""


class DepositPlace(Protocol):
    """A chain with deposit addresses, and somebody who sends to them."""

    @property
    def chain(self) -> DepositChain: ...

    @property
    def addresses(self) -> Sequence[Address]: ...

    async def send(self, role: str, receiver: Address, amount: int) -> TransferRef: ...

    def sender(self, role: str) -> Address: ...

    async def balance(self, account: Address) -> int: ...


def sender_key(role: str) -> KeySigner:
    return KeySigner(keccak256(f"sender {role}".encode()))


@dataclass
class FakePlace:
    addresses: Sequence[Address]
    chain: FakeDepositChain

    async def send(self, role: str, receiver: Address, amount: int) -> TransferRef:
        if amount == 0:
            self.chain.mine()
            return TransferRef(bytes(32), 0)
        return self.chain.send(self.sender(role), receiver, amount)

    def sender(self, role: str) -> Address:
        return sender_key(role).address

    async def balance(self, account: Address) -> int:
        if account in self.addresses:
            return self.chain.held(account)
        return self.chain.received_by(account)


@dataclass
class ChainPlace:
    """The real thing. A sender is a wallet that nobody but the chain has ever heard of."""

    ledger: Ledger
    addresses: Sequence[Address]
    chain: DepositAddresses
    token: Token
    _numbers: "count[int]" = field(default_factory=count)
    _ready: set[str] = field(default_factory=set)

    async def send(
        self, role: str, receiver: Address, amount: int, *, token: Address | None = None
    ) -> TransferRef:
        await self._fill(role)
        wallet = self.ledger.relayer(sender_key(role))
        call = encode_call("transfer(address,uint256)", receiver, amount)
        mined = await wallet.submit(f"{role}:{next(self._numbers)}", token or self.token.contract, call)
        return TransferRef(bytes.fromhex(mined.tx_hash[2:]), 0)

    async def _fill(self, role: str) -> None:
        if role in self._ready:
            return
        self._ready.add(role)
        await self.ledger.chain.fund(self.sender(role))
        faucet = Faucet(self.token.contract, self.ledger.relayer(self.ledger.keys.deployer))
        await faucet.mint(self.sender(role), 1_000 * EURO, f"mint:{role}")

    def sender(self, role: str) -> Address:
        return sender_key(role).address

    async def balance(self, account: Address) -> int:
        return await self.token.balance(account)

    async def other_token(self, role: str, source: str = "") -> Address:
        """Deploy another token, by default one like ours, of which the sender makes as much as it likes."""
        node = Chain(self.ledger.rpc.url)
        account = self.sender(role).text

        def deploy() -> str:
            node.rpc("anvil_autoImpersonateAccount", True)
            node.rpc("anvil_setBalance", account, hex(10**20))
            made = (
                node.deploy_source(source, sender=account)
                if source
                else node.deploy("DevToken", sender=account)
            )
            if not source:
                made.send("mint", account, 1_000 * EURO, sender=account)
            node._http.close()
            return made.address

        return Address.parse(await asyncio.to_thread(deploy))


def derived_signers(places: int = 2) -> dict[Address, KeySigner]:
    signers = [deposit_signer(SECRET, EvseId.parse(f"NL*EVM*E{n}")) for n in range(1, places + 1)]
    return {signer.address: signer for signer in signers}


def chain_place(ledger: Ledger, rpc: JsonRpc | None = None, checkpoint: Any = None) -> ChainPlace:
    signers = derived_signers()
    relayer = (
        ledger.relayer(ledger.keys.relayer, checkpoint=checkpoint)
        if checkpoint
        else ledger.relayer(ledger.keys.relayer)
    )
    chain = DepositAddresses(rpc or ledger.rpc, ledger.token(), relayer, signers)
    return ChainPlace(ledger, list(signers), chain, ledger.token())


@asynccontextmanager
async def fake_place() -> AsyncIterator[FakePlace]:
    addresses = list(derived_signers())
    yield FakePlace(addresses, FakeDepositChain(frozenset(addresses), HandClock()))


@asynccontextmanager
async def real_place(directory: Path) -> AsyncIterator[ChainPlace]:
    async with running_ledger(directory) as ledger:
        yield chain_place(ledger)


class FickleNode(JsonRpc):
    """A node that gives logs for few blocks at once, and none of blocks before one that it has pruned."""

    def __init__(self, url: str, *, widest: int = 10**9, pruned_before: int = 0, busy: bool = False) -> None:
        super().__init__(url)
        self.widest = widest
        self.pruned_before = pruned_before
        self.busy = busy
        self.asked: list[tuple[int, int]] = []

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_getLogs" and params[0]["toBlock"] != "latest":
            first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            self.asked.append((first, last))
            if last - first + 1 > self.widest:
                if self.busy:
                    raise Unavailable("chain.busy", "query exceeds max block range")
                raise NodeRefused(method, f"block range is limited to {self.widest}")
            if first < self.pruned_before:
                raise NodeRefused(method, "history has been pruned for this block")
        return await super().call(method, *params)
