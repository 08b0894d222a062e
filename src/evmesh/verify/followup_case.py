"""What the checks of a settlement or a reward look at: the document, and whatever else is at hand."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import Reward
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.ports import Signatures
from evmesh.verify.chain_facts import FlexFacts, SettlementFacts
from evmesh.verify.report import NotChecked

D = TypeVar("D", Settlement, Reward)

NO_RECEIPT = NotChecked("the receipt was not given")


@dataclass(frozen=True, slots=True)
class FollowUp(Generic[D]):
    """A document that names a receipt, the bytes of that receipt, and what a node says, where at hand.

    A reward also has the file of its FLEX voucher, and what the token says.
    """

    document: D
    signatures: Signatures
    receipt_raw: bytes | None
    trust: Trust | None
    chain: SettlementFacts | None = None
    voucher_raw: bytes | None = None
    flex: FlexFacts | None = None

    def receipt(self) -> Receipt | None:
        """Give the receipt; whether it is true is for `verify_receipt` to say."""
        return None if self.receipt_raw is None else Receipt.parse(self.receipt_raw)
