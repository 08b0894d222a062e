"""How fast vouchers are checked and transactions are mined, each beside the least that it can take.

Vouchers: against the recovery of a signer alone, by the same library. Transactions: through the relayer,
journaled on disk before they are sent, many purposes at once; against a plain client that signs and sends
one, waits for its receipt, and goes on. Both on the same node, which makes a block for what comes.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from coincurve import PublicKey
from eth_account import Account

from bench.figure import Figure
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.abi import encode_call
from evmesh.ledger.relayer import Relayer, RelayerConfig
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures, KeySigner, keccak256, split_signature
from evmesh.ledger.vouchers import VoucherCheck
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database
from tests.contract.chain import CHAIN_ID, Chain, running_anvil

ROUNDS, EACH = 31, 400
TRANSACTIONS, AT_ONCE, PLAIN = 600, 50, 150

PAYEE = Address.parse("0x" + "ab" * 20)
DOMAIN = Domain(1076, Address.parse("0x" + "5e" * 20))
DRIVER = KeySigner(keccak256(b"a driver who signs vouchers"))
RELAYER = KeySigner(keccak256(b"an account that sends"))
CLIENT = KeySigner(keccak256(b"another account that sends"))


def run() -> list[Figure]:
    """Measure both."""
    return [*_vouchers(), asyncio.run(_transactions())]


def _vouchers() -> list[Figure]:
    check, signatures = VoucherCheck(DOMAIN, PAYEE), EthereumSignatures()
    hashes = [digest(DOMAIN, Voucher(PAYEE, 1, total), keccak256) for total in range(EACH)]
    signed = [DRIVER.sign(hashed) for hashed in hashes]
    parts = [split_signature(one) for one in signed]
    bare = [r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]) for r, s, parity in parts]

    def quickly() -> list[Address]:
        return [check.payer(1, total, signature) for total, signature in enumerate(signed)]

    def plainly() -> list[Address]:
        return [
            signatures.recover(digest(DOMAIN, Voucher(PAYEE, 1, total), keccak256), signature)
            for total, signature in enumerate(signed)
        ]

    assert {*quickly(), *plainly()} == {DRIVER.address}  # before the clock runs: nobody times the comparison

    def recover() -> None:
        for hashed, signature in zip(hashes, bare, strict=True):
            PublicKey.from_signature_and_message(signature, hashed, hasher=None)

    ours, generic, least = _rates(quickly, plainly, recover)
    alone = "recovering the signer alone"
    return [
        Figure("vouchers verified", "per s", ours, least, alone, "higher"),
        Figure(
            "vouchers verified, by the code for any signed type", "per s", generic, least, alone, "higher"
        ),
    ]


def _rates(*works: Callable[[], object]) -> list[float]:
    """Time them in turns, so that a busy moment of the machine hits all; the median of each."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for spent, work in zip(taken, works, strict=True):
            started = time.thread_time()  # of this work alone: what else runs on the machine is no part of it
            work()
            spent.append(time.thread_time() - started)
    return [EACH / statistics.median(spent) for spent in taken]


async def _transactions() -> Figure:
    with running_anvil("--block-base-fee-per-gas", "0") as chain, tempfile.TemporaryDirectory() as directory:
        token = chain.deploy("DevToken", sender=chain.rpc("eth_accounts")[0])
        database = Database(f"sqlite+aiosqlite:///{Path(directory) / 'state.db'}")
        await database.migrate()
        try:
            async with JsonRpc(chain.url) as rpc:
                for account in (RELAYER, CLIENT):
                    await rpc.call("anvil_setBalance", account.address.text, hex(10**24))
                to = Address.parse(token.address)
                plain = _plain_client(chain, to)
                relayer = Relayer(
                    rpc, RELAYER, ChainJournal(database), chain_id=CHAIN_ID, config=RelayerConfig(poll_s=0.02)
                )
                ours = await _through(relayer, to)
        finally:
            await database.close()
    return Figure(
        "transactions mined through the relayer, 50 at once",
        "per s",
        ours,
        plain,
        "one by one, each waited for",
        "higher",
    )


async def _through(relayer: Relayer, token: Address) -> float:
    """Have as many purposes mined as fast as they go; each is on disk before it is sent."""
    await relayer.submit("approve:first", token, _approval(0))
    waiting = iter(range(1, TRANSACTIONS + 1))

    async def work() -> None:
        for number in waiting:
            await relayer.submit(f"approve:{number}", token, _approval(number))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return TRANSACTIONS / (time.perf_counter() - started)


def _plain_client(chain: Chain, token: Address) -> float:
    """Do what a script with a node does: price, estimate, sign, send, wait, without a journal."""
    key = keccak256(b"another account that sends")
    started = time.perf_counter()
    for number in range(PLAIN):
        data = "0x" + _approval(number).hex()
        call = {"from": CLIENT.address.text, "to": token.text, "data": data}
        signed = Account.sign_transaction(
            {
                "nonce": int(chain.rpc("eth_getTransactionCount", CLIENT.address.text, "pending"), 16),
                "gasPrice": int(chain.rpc("eth_gasPrice"), 16),
                "gas": int(chain.rpc("eth_estimateGas", call), 16) + 20_000,
                "to": token.to_bytes(),
                "data": data,
                "value": 0,
                "chainId": CHAIN_ID,
            },
            key,
        )
        sent = chain.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
        while chain.rpc("eth_getTransactionReceipt", sent) is None:
            time.sleep(0.001)
    return PLAIN / (time.perf_counter() - started)


def _approval(number: int) -> bytes:
    return encode_call("approve(address,uint256)", PAYEE, number)
