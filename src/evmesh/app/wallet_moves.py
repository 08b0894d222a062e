"""What a wallet does with money: look, fill a tab, send, leave a tab."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from evmesh.app.wallet_home import By, WalletHome
from evmesh.app.wallet_place import Place
from evmesh.domain.chain import Tab
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.abi import encode_call
from evmesh.ledger.escrow import TabReader, exit_call, finish_call
from evmesh.ledger.reasons import refused_by_contract
from evmesh.ledger.relayer import Relayer, RelayerConfig, writer_lock
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.token import Token
from evmesh.ledger.wallet import LocalWallet
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database

Json = dict[str, Any]
SIGNED_FOR_S: Final = 86_400
"""How long a deposit may be sent after it was signed, in the chain's time."""

_SEEN_WITHIN_S: Final = 60
_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account has of one money, at one operator."""

    tokens: int
    tab: Tab

    def to_json(self) -> Json:
        left = self.tab.ceiling - self.tab.spent
        return {
            "tokens": str(self.tokens),
            "tab": {
                "deposited": str(self.tab.ceiling),
                "spent": str(self.tab.spent),
                "left": str(left),
                "exit_at": _instant(self.tab.exit_at) if self.tab.exit_at else None,
            },
        }


async def holdings(place: Place, account: Address) -> Holdings:
    """Read what an account has of the place's money, from the node alone."""
    coin = place.coin
    return Holdings(
        tokens=await Token(place.rpc, coin.token, coin.chain.chain_id).balance(account),
        tab=await TabReader(place.rpc, coin.escrow).tab(place.payee, account),
    )


async def all_holdings(place: Place, account: Address) -> Json:
    """Read what an account has at an operator, in both its moneys; `native_wei` pays for gas."""
    flex = None if place.trust.flex is None else await holdings(await place.in_flex(), account)
    return {
        **(await holdings(place, account)).to_json(),
        "native_wei": str(int(await place.rpc.call("eth_getBalance", account.text, "latest"), 16)),
        "flex": None if flex is None else flex.to_json(),
    }


async def deposit(place: Place, home: WalletHome, signer: KeySigner, units: int, by: By) -> Json:
    """Fill the tab by `units` through the operator's relayer, and see on the node that it is there."""
    if place.api is None:
        raise InvalidInput(
            "wallet.no_operator", "no relayer is named", do="name the operator's platform with --operator URL"
        )
    wallet, tabs = wallet_at(place, signer), TabReader(place.rpc, place.coin.escrow)
    before = await tabs.tab(place.payee, signer.address)
    deadline = await place.rpc.block_time() + SIGNED_FOR_S
    home.remember(place.trust)  # before money moves: the way out must be known
    if by is By.AUTHORIZATION:
        paid = await wallet.authorized_deposit(place.payee, units, deadline, secrets.token_bytes(32))
        sent = await place.api.deposit_authorized(paid, place.coin)
    else:
        order = await wallet.deposit_order(place.payee, before.ceiling + units, deadline)
        if order is None:
            raise Refused(
                "tab.changed", "the tab was filled meanwhile", do="look with `evmesh wallet balance`"
            )
        sent = await place.api.deposit(order, place.coin)
    tab = await _seen(tabs, place.payee, signer.address, lambda tab: tab.ceiling >= before.ceiling + units)
    return {"deposited": str(units), "in_tab": str(tab.ceiling - tab.spent), "transaction": sent}


async def transfer(place: Place, home: WalletHome, signer: KeySigner, to: Address, units: int) -> Json:
    """Send tokens with the wallet's own gas; journaled before it is sent."""
    chain = place.trust.chain
    flex = place.trust.flex
    own = (chain.token, chain.charge_tab, chain.registry, chain.notary)
    if to in own or (flex is not None and to in (flex.escrow, flex.token)):
        raise Refused("wallet.to_contract", "what is sent to this contract is lost", do="check the address")
    await wallet_at(place, signer).require_balance(units)
    data = encode_call("transfer(address,uint256)", to, units)
    async with own_gas(place, home, signer) as account:
        mined = await account.submit(f"transfer:{secrets.token_hex(16)}", chain.token, data)
    return {"sent": str(units), "to": to.text, "transaction": mined.tx_hash, "block": mined.block}


async def leave(place: Place, home: WalletHome, signer: KeySigner, *, own_gas: bool) -> Json:
    """Take the next step out of a tab: begin, wait for the window's end, or finish."""
    payer, escrow = signer.address, place.coin.escrow
    tabs = TabReader(place.rpc, escrow)
    tab = await tabs.tab(place.payee, payer)
    if not tab.ceiling:
        raise Refused("tab.nothing_to_leave", "there is no money in this tab")
    left = {"left": str(tab.ceiling - tab.spent)}
    if tab.exit_at and not await _window_is_over(place, payer):
        return {"step": "waiting", "until": _instant(tab.exit_at), **left}
    if not tab.exit_at:
        signature = wallet_at(place, signer).sign_exit(place.payee, tab.epoch)
        data = exit_call(place.payee, payer, tab.epoch, signature)
        if own_gas or place.api is None:
            sent = await _sent(place, home, signer, f"exit:{_tab_key(place)}:{tab.epoch}", data)
        else:
            sent = await place.api.begin_exit(payer, place.payee, tab.epoch, signature, place.coin)
        begun = await _seen(tabs, place.payee, payer, lambda now: now.exit_at > 0 or now.epoch > tab.epoch)
        return {"step": "begun", "until": _instant(begun.exit_at), **left, "transaction": sent}
    if own_gas or place.api is None:
        data = finish_call(place.payee, payer)
        sent = await _sent(place, home, signer, f"finish:{_tab_key(place)}:{tab.epoch}", data)
    else:
        sent = await place.api.finish_exit(payer, place.payee, place.coin)
    await _seen(tabs, place.payee, payer, lambda now: now.epoch > tab.epoch)
    return {"step": "finished", "returned": left["left"], "transaction": sent}


async def close(place: Place, signer: KeySigner, total: int | None) -> Json:
    """End the tab at what is spent, or at a higher total that we agree to; the operator co-signs.

    Raises Refused `close.session_open`, `tab.nothing_to_close`, or in the contract's words.
    """
    if place.api is None:
        raise InvalidInput(
            "wallet.no_operator", "no operator is named", do="name its platform with --operator URL"
        )
    wallet, payer = wallet_at(place, signer), signer.address
    tabs = TabReader(place.rpc, place.coin.escrow)
    tab = await tabs.tab(place.payee, payer)
    if not tab.ceiling:
        raise refused_by_contract("tab: nothing to close")
    amount = tab.spent if total is None else total
    if amount < tab.spent:
        raise refused_by_contract("tab: final total below spent")
    if amount > tab.ceiling:
        raise refused_by_contract("tab: final total above ceiling")
    agreed = None if amount == tab.spent else wallet.sign_voucher(place.payee, tab.epoch, amount)
    leaving = wallet.sign_exit(place.payee, tab.epoch)
    sent = await place.api.close(payer, place.payee, tab.epoch, amount, leaving, agreed, place.coin)
    await _seen(tabs, place.payee, payer, lambda now: now.epoch > tab.epoch)
    return {"amount": str(amount), "returned": str(tab.ceiling - amount), "transaction": sent}


async def signed_exit(place: Place, signer: KeySigner) -> Json:
    """Give the call that begins to leave, for anybody to send: it costs them gas and gives them nothing."""
    coin = place.coin
    tab = await TabReader(place.rpc, coin.escrow).tab(place.payee, signer.address)
    signature = wallet_at(place, signer).sign_exit(place.payee, tab.epoch)
    data = exit_call(place.payee, signer.address, tab.epoch, signature)
    return {"chain_id": coin.chain.chain_id, "to": coin.escrow.text, "data": "0x" + data.hex()}


def recipient(text: str) -> Address:
    """Read an account that a person typed; raises InvalidInput where its capitals say that it is mistyped.

    EIP-55: an address in mixed case carries a checksum in its capitals.
    """
    address = Address.parse(text)
    digits = text.strip().removeprefix("0x")
    if not address.to_bytes().strip(b"\0"):
        raise InvalidInput("wallet.nobody", "nobody has this address", do="check the address")
    if digits in (digits.lower(), digits.upper()):
        return address
    marks = keccak256(digits.lower().encode()).hex()
    right = "".join(
        one.upper() if int(mark, 16) > 7 else one for one, mark in zip(digits.lower(), marks, strict=False)
    )
    if digits != right:
        raise InvalidInput(
            "wallet.mistyped", "the capitals of this address do not fit its digits", do="copy it once more"
        )
    return address


def wallet_at(place: Place, signer: KeySigner) -> LocalWallet:
    """Give the wallet's hand in the place's money."""
    return LocalWallet(signer, place.rpc, place.coin.chain, place.coin.symbol)


def _tab_key(place: Place) -> str:
    """Name a tab in the journal of what was sent with own gas."""
    return f"{place.payee}:{place.coin.escrow}" if place.coin.is_flex else place.payee.text


async def _sent(place: Place, home: WalletHome, signer: KeySigner, key: str, data: bytes) -> str:
    async with own_gas(place, home, signer) as account:
        return (await account.submit(key, place.coin.escrow, data)).tx_hash


async def _window_is_over(place: Place, payer: Address) -> bool:
    """Ask the contract as of the next block: on a quiet chain the newest one may be old.

    An estimate without a price runs in the next block, and needs no balance.
    """
    data = "0x" + finish_call(place.payee, payer).hex()
    call = {"from": payer.text, "to": place.coin.escrow.text, "data": data}
    try:
        await place.rpc.call("eth_estimateGas", call)
    except Refused as refused:
        if refused.code != "tab.exit_too_early":
            raise
        return False
    return True


@asynccontextmanager
async def own_gas(place: Place, home: WalletHome, signer: KeySigner) -> AsyncIterator[Relayer]:
    """Open the wallet's own account; what was left unsent by an earlier command is sent first."""
    chain = place.trust.chain.chain_id
    with writer_lock(home.directory / "sent.lock"):
        database = Database(f"sqlite+aiosqlite:///{home.directory / f'sent-{chain}.db'}")
        try:
            await database.migrate()
            config = RelayerConfig(confirmations=place.network.confirmations)
            account = Relayer(place.rpc, signer, ChainJournal(database), chain_id=chain, config=config)
            await account.recover()
            yield account
        finally:
            await database.close()


async def _seen(tabs: TabReader, payee: Address, payer: Address, there: Callable[[Tab], bool]) -> Tab:
    """Look until the node shows what the operator says was done."""
    waited = 0.0
    while not there(tab := await tabs.tab(payee, payer)):
        if waited > _SEEN_WITHIN_S:
            raise Unavailable(
                "wallet.not_seen",
                "the transaction was sent, and the node does not show it yet",
                do="look again with `evmesh wallet balance`",
            )
        await asyncio.sleep(_LOOK_EVERY_S)
        waited += _LOOK_EVERY_S
    return tab


def _instant(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")
