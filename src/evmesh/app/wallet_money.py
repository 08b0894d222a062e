"""A money that a driver pays an operator in: the site's own token, or the operator's FLEX."""

from dataclasses import dataclass, replace
from typing import Final

from evmesh.domain.ids import Address
from evmesh.domain.money import amount_words
from evmesh.domain.receipt_parts import ChainRef, PaidIn
from evmesh.domain.typed_data import Domain
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.token import Token

FLEX: Final = "FLEX"


@dataclass(frozen=True, slots=True)
class Coin:
    """One money with its escrow; `symbol` is what amounts are written with."""

    chain: ChainRef
    symbol: str

    @property
    def is_flex(self) -> bool:
        return self.chain.paid_in is not None

    @property
    def escrow(self) -> Address:
        return self.chain.escrow

    @property
    def token(self) -> Address:
        return self.chain.paid_token

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of what asks, promises and pays in this money."""
        return self.chain.money

    def words(self, units: int) -> str:
        """Write an amount of it for a person."""
        return amount_words(units, self.symbol)


async def own_coin(rpc: JsonRpc, chain: ChainRef) -> Coin:
    """Give the site's own money, by the name that its token has, unless it poses as FLEX."""
    symbol = await Token(rpc, chain.token, chain.chain_id).symbol()
    return Coin(chain, "" if symbol.upper() == FLEX else symbol)


def flex_coin(chain: ChainRef, flex: PaidIn) -> Coin:
    """Give an operator's FLEX, of which one is worth one of the site's own money there."""
    return Coin(replace(chain, paid_in=flex), FLEX)


def named(coin: Coin) -> dict[str, str]:
    """Give the member by which a request of the HTTP API names a money; none for the site's own."""
    return {"escrow": coin.escrow.text} if coin.is_flex else {}
