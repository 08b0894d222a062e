"""The moneys of one platform: the site's token and its FLEX, each with the escrow that takes it."""

from dataclasses import dataclass

from evmesh.app.platform_ledger import Ledger
from evmesh.app.site_view import MoneyReader
from evmesh.domain.ids import Address
from evmesh.ledger.escrow import ChargeTab
from evmesh.ledger.flex import ReceivedFlex
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.refills import Refills
from evmesh.ledger.token import Token
from evmesh.ports import Clock, FlexBurner
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows, Money

FLEX = "FLEX"


@dataclass(frozen=True, slots=True)
class Moneys:
    """The escrows as services ask for them, and both moneys as the page reads them."""

    escrows: Escrows
    own: MoneyReader
    flex: MoneyReader


def open_moneys(ledger: Ledger, operator: Operator, clock: Clock) -> Moneys:
    """Join escrow, token and claims of each money. A wallet's quota at the relayer is one for both."""
    contracts = ledger.contracts
    quota = RelayQuota(RelayPolicy(min_deposit=operator.min_deposit), clock)

    def opened(
        escrow: Address, coin: Address, burner: FlexBurner | None = None, symbol: str = ""
    ) -> tuple[Money, MoneyReader]:
        tab = ChargeTab(
            escrow,
            contracts.money(escrow),
            signer=ledger.keys.operator,
            operator=ledger.operator,
            relayer=ledger.relayer,
            clock=clock,
            quota=quota,
        )
        token, refills = Token(ledger.rpc, coin, contracts.chain_id), Refills(escrow, ledger.operator)
        money = Money(escrow, tab, tab, token.balance, refills, burner, symbol)
        return money, MoneyReader(tab, token)

    received = ReceivedFlex(contracts.flex, ledger.operator, ledger.journal)
    own, read_own = opened(contracts.charge_tab, contracts.token)
    flex, read_flex = opened(contracts.flex_tab, contracts.flex, received, FLEX)
    return Moneys(Escrows(own, flex), read_own, read_flex)
