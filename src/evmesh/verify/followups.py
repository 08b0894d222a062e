"""Check what follows a receipt: the settlement and the reward, alone or beside their receipt."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from evmesh.domain.errors import EvmeshError
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.reward import Reward, flexibility_value, reward_of
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.ports import Signatures
from evmesh.verify.case import require_signer
from evmesh.verify.report import Check, Finding, NotChecked, Report, Status, require, run

D = TypeVar("D", Settlement, Reward)

NO_RECEIPT = NotChecked("the receipt was not given")


@dataclass(frozen=True, slots=True)
class FollowUp(Generic[D]):
    """A document that names a receipt, and the bytes of that receipt where they are at hand."""

    document: D
    signatures: Signatures
    receipt_raw: bytes | None
    trust: Trust | None

    def receipt(self) -> Receipt | None:
        """Give the receipt; whether it is true is for `verify_receipt` to say."""
        return None if self.receipt_raw is None else Receipt.parse(self.receipt_raw)


def verify_settlement(
    raw: bytes, signatures: Signatures, receipt_raw: bytes | None = None, trust: Trust | None = None
) -> Report:
    """Check the bytes of an `evmesh.settlement/1` file; never raises for what is in them."""
    return _verify(raw, Settlement.parse, _SETTLEMENT_CHECKS, signatures, receipt_raw, trust)


def verify_reward(
    raw: bytes, signatures: Signatures, receipt_raw: bytes | None = None, trust: Trust | None = None
) -> Report:
    """Check the bytes of an `evmesh.reward/1` file; never raises for what is in them."""
    return _verify(raw, Reward.parse, _REWARD_CHECKS, signatures, receipt_raw, trust)


def _verify(
    raw: bytes,
    parse: Callable[[bytes], D],
    checks: tuple[tuple[str, Callable[[FollowUp[D]], Finding]], ...],
    signatures: Signatures,
    receipt_raw: bytes | None,
    trust: Trust | None,
) -> Report:
    found = [run("form", partial(_form, raw, parse))]
    try:
        document = parse(raw)
    except EvmeshError:
        unread = "the document cannot be read"
        found += [Check(name, Status.NOT_CHECKED, unread) for name, _ in checks]
        return Report(tuple(found))
    case = FollowUp(document, signatures, receipt_raw, trust)
    found += [run(name, partial(check, case)) for name, check in checks]
    return Report(tuple(found))


def _form(raw: bytes, parse: Callable[[bytes], object]) -> Finding:
    parse(raw)
    return f"{len(raw)} bytes of canonical JSON, every member and no other"


def _payee_signature(case: FollowUp[D]) -> Finding:
    document = case.document
    require_signer(
        case.signatures,
        document.chain.domain,
        document.payee,
        document.to_sign(),
        document.signature,
        "signature",
    )
    return f"{document.payee} signed all of it"


def _trusted(case: FollowUp[D]) -> Finding:
    if case.trust is None:
        return NotChecked("no trust file was given")
    document = case.document
    require(document.chain == case.trust.chain, "trust.other_chain", "another chain or contract", "chain")
    require(
        document.payee in case.trust.payees,
        "trust.unknown_payee",
        f"{document.payee} is not a trusted operator",
        "payee",
    )
    return f"{document.payee} is a trusted operator"


def _names_receipt(case: FollowUp[D]) -> Finding:
    receipt, document = case.receipt(), case.document
    if receipt is None or case.receipt_raw is None:
        return NO_RECEIPT
    require(
        document.receipt_sha256 == receipt_hash(case.receipt_raw),
        "followup.other_receipt",
        "it names another receipt",
        "receipt_sha256",
    )
    for name in ("session", "chain", "payee"):
        same = getattr(document, name) == getattr(receipt, name)
        require(same, f"followup.other_{name}", f"the receipt has another {name}", name)
    return "it names this receipt"


def _settled_amount(case: FollowUp[Settlement]) -> Finding:
    receipt, document = case.receipt(), case.document
    require(
        bool(document.transactions) or document.amount == 0,
        "settlement.no_transaction",
        "money moves in a transaction",
        "transactions",
    )
    if receipt is None:
        return NO_RECEIPT
    require(document.payer == receipt.request.payer, "followup.other_payer", "another payer", "payer")
    if document.kind == "claim":
        require(
            document.amount == receipt.due,
            "settlement.amount_differs",
            f"{document.amount} claimed, {receipt.due} due",
            "amount",
        )
        return f"{document.amount} claimed, as due"
    return f"{document.amount} refunded"


def _reward_value(case: FollowUp[Reward]) -> Finding:
    document = case.document
    lengths = {len(document.metered_wh), len(document.baseline_wh), len(document.step_price)}
    require(len(lengths) == 1, "reward.other_length", "the arrays differ in length", "step_price")
    require(
        sum(document.metered_wh) == sum(document.baseline_wh),
        "reward.baseline_differs",
        "metered and baseline are not the same energy",
        "baseline_wh",
    )
    value = flexibility_value(document.metered_wh, document.baseline_wh, document.step_price)
    receipt = case.receipt()
    if receipt is not None and not receipt.request.flexible:
        value = 0
    require(document.value == value, "reward.value_differs", f"the value is {value}", "value")
    return f"value {value}"


def _reward_share(case: FollowUp[Reward]) -> Finding:
    document = case.document
    require(document.value <= document.total, "reward.total_differs", "more than all together", "total")
    exact = reward_of(document.value, document.total, document.avoided, document.share_per_mille)
    require(document.reward == exact, "reward.differs", f"the reward is {exact}", "reward")
    require(
        (document.state == "paid") == bool(document.transactions),
        "reward.state_differs",
        "what is paid, and nothing else, has a transaction",
        "state",
    )
    return f"{exact} units, {document.state}"


def _reward_energy(case: FollowUp[Reward]) -> Finding:
    receipt = case.receipt()
    if receipt is None:
        return NO_RECEIPT
    metered = sum(case.document.metered_wh)
    require(metered == receipt.energy, "reward.energy_differs", f"{receipt.energy} Wh metered", "metered_wh")
    return f"{metered} Wh, as on the receipt"


_SETTLEMENT_CHECKS: Final[tuple[tuple[str, Callable[[FollowUp[Settlement]], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("trusted payee", _trusted),
    ("receipt", _names_receipt),
    ("amount", _settled_amount),
)
_REWARD_CHECKS: Final[tuple[tuple[str, Callable[[FollowUp[Reward]], Finding]], ...]] = (
    ("payee signature", _payee_signature),
    ("trusted payee", _trusted),
    ("receipt", _names_receipt),
    ("value", _reward_value),
    ("share", _reward_share),
    ("energy", _reward_energy),
)
