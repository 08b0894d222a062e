"""Bugs to plant in ChargeTab: one changed line each, in the source of one of its modules."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.contract.chain import CONTRACTS, Chain, Contract


@dataclass(frozen=True)
class Bug:
    """`line` stands once in `lib/{module}.vy`, and becomes `instead`."""

    name: str
    module: str
    line: str
    instead: str


BUGS = (
    Bug(
        "a claim counts what was spent before once more",
        "tab_claims",
        "book.tabs[payee][payer] = unsafe_add(word, unsafe_sub(amount, spent))",
        "book.tabs[payee][payer] = unsafe_add(word, amount)",
    ),
    Bug(
        "a claim passes the ceiling",
        "tab_claims",
        "elif amount > (word >> book.CEILING_SHIFT) & book.MASK96:",
        "elif amount > book.MASK96:",
    ),
    Bug(
        "a claim passes what was signed",
        "tab_claims",
        "if epoch <= book.MASK32 and amount <= cumulative and s <= signatures.HALF_ORDER:",
        "if epoch <= book.MASK32 and s <= signatures.HALF_ORDER:",
    ),
    Bug(
        "a voucher lives on after its epoch",
        "tab_claims",
        "if word >> book.EPOCH_SHIFT != epoch:",
        "if word >> book.EPOCH_SHIFT < epoch:",
    ),
    Bug(
        "whoever signs signs for everybody",
        "tab_signatures",
        "assert recovered != empty(address) and recovered == signer, why",
        "assert recovered != empty(address), why",
    ),
    Bug(
        "a refill lives on after its epoch",
        "tab_claims",
        "if word >> book.EPOCH_SHIFT == epoch:",
        "if word >> book.EPOCH_SHIFT >= epoch:",
    ),
    Bug(
        "a refill pulls from a tab that is being left",
        "tab_claims",
        "if (word >> book.EXIT_SHIFT) & book.MASK32 != 0:",
        "if False:",
    ),
    Bug("a refill pulls after its deadline", "tab_claims", "elif block.timestamp > pull_by:", "elif False:"),
    Bug(
        "a refill credits what did not arrive",
        "tab_claims",
        "unsafe_sub(pull_to, ceiling), unsafe_sub(now_held, held)",
        "unsafe_sub(pull_to, ceiling), max_value(uint256)",
    ),
    Bug(
        "a refill counts one pull for the next one too",
        "tab_claims",
        "held = now_held",
        "pass",
    ),
    Bug(
        "a payout is forgotten",
        "tab_claims",
        "book.accounts[payee] = word + (amount << 128)",
        "book.accounts[payee] = word",
    ),
    Bug(
        "a deposit credits what did not arrive",
        "tab_deposits",
        "credited: uint256 = min(amount, after - before)",
        "credited: uint256 = amount",
    ),
    Bug(
        "a deposit goes into a tab that is being left",
        "tab_deposits",
        'assert (word >> book.EXIT_SHIFT) & book.MASK32 == 0, "tab: exit begun"',
        "pass",
    ),
    Bug(
        "an authorization does not name its payee",
        "tab_deposits",
        "keccak256(abi_encode(payee, salt)), v, r, s",
        "keccak256(abi_encode(payer, salt)), v, r, s",
    ),
    Bug(
        "a close needs no consent",
        "tab_exits",
        'voucher_r, voucher_vs, "tab: final total not agreed"',
        'r, vs, "tab: final total not agreed"',
    ),
    Bug(
        "a close pays more than was agreed",
        "tab_exits",
        'assert amount <= cumulative and cumulative <= book.MASK96, "tab: final total not agreed"',
        "pass",
    ),
    Bug(
        "an exit is finished before its time",
        "tab_exits",
        'assert block.timestamp >= exit_time, "tab: exit too early"',
        "pass",
    ),
    Bug(
        "an exit begins anew, and never ends",
        "tab_exits",
        "book.tabs[payee][payer] = word | (exit_time << book.EXIT_SHIFT)",
        "book.tabs[payee][payer] = word",
    ),
    Bug(
        "what ends begins no new epoch",
        "tab_book",
        "self.tabs[payee][payer] = (epoch + 1) << EPOCH_SHIFT",
        "self.tabs[payee][payer] = epoch << EPOCH_SHIFT",
    ),
    Bug(
        "what ends returns a unit too much",
        "tab_book",
        "self._send(payer, returned)",
        "self._send(payer, returned + 1)",
    ),
)


def deploy_with(bug: Bug, chain: Chain, *arguments: object, sender: str) -> Contract:
    """Plant one bug, compile and deploy."""
    with TemporaryDirectory() as directory:
        modules = Path(directory)
        for path in CONTRACTS.rglob("*.vy"):
            text = path.read_text()
            if path.stem == bug.module:
                text = text.replace(bug.line, bug.instead)
            target = modules / path.relative_to(CONTRACTS)
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
        source = (modules / "ChargeTab.vy").read_text()
        return chain.deploy_source(source, *arguments, sender=sender, modules=modules)
