"""People around one ChargeTab, and what they sign."""

from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contract.chain import CHAIN_ID, Chain, Contract, Person, Receipt, compact

WINDOW = 86_400
EURO = 1_000_000
FOREVER = 2**32 - 1

MALFORMED, NO_SIGNER, OTHER_EPOCH, STALE, UNDERFUNDED, EXIT_BEGUN, TOO_LATE, TOKEN_REFUSED = range(1, 9)
NOBODY = "0x" + "00" * 20
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Row = list[int]


@dataclass
class World:
    chain: Chain
    token: Contract
    tab: Contract
    driver: Person
    operator: Person
    relayer: Person
    thief: Person
    domain_differs: dict[str, object] = field(default_factory=dict)
    token_name: str = "DevEUR"

    @classmethod
    def build(cls, chain: Chain, token: Contract | None = None) -> "World":
        driver, operator, relayer, thief = (
            Person.make(chain, role) for role in ("driver", "operator", "relayer", "thief")
        )
        deployer = Person.make(chain, "deployer")
        token = token or chain.deploy("DevToken", sender=deployer.address)
        tab = chain.deploy("ChargeTab", token.address, WINDOW, sender=deployer.address)
        world = cls(chain, token, tab, driver, operator, relayer, thief)
        token.send("mint", world.driver.address, 1000 * EURO, sender=deployer.address)
        return world

    def domain(self, **other: object) -> dict[str, object]:
        return {
            "name": "ChargeTab",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": self.tab.address,
            **self.domain_differs,
            **other,
        }

    def elsewhere(self, **other: object) -> "World":
        """Give the same people, who sign for another domain."""
        return replace(self, domain_differs=other)

    def deposit(self, amount: int, payer: Person | None = None, payee: Person | None = None) -> Receipt:
        payer, payee = payer or self.driver, payee or self.operator
        self.token.send("approve", self.tab.address, amount, sender=payer.address)
        return self.tab.send("deposit", payee.address, amount, sender=payer.address)

    def voucher(
        self,
        cumulative: int,
        epoch: int = 0,
        signer: Person | None = None,
        payee: Person | None = None,
        domain: dict[str, object] | None = None,
    ) -> tuple[int, int, int]:
        return (signer or self.driver).sign(
            domain or self.domain(),
            "Voucher",
            "address payee,uint32 epoch,uint96 cumulative",
            {"payee": (payee or self.operator).address, "epoch": epoch, "cumulative": cumulative},
        )

    def row(self, amount: int, cumulative: int | None = None, epoch: int = 0, **voucher: Any) -> Row:
        cumulative = amount if cumulative is None else cumulative
        r, vs = compact(self.voucher(cumulative, epoch, **voucher))
        return [r, vs, amount | cumulative << 96 | epoch << 192]

    def claim(self, *rows: Row, sender: Person | None = None) -> Receipt:
        return self.tab.send("claim", list(rows), sender=(sender or self.operator).address)

    def skipped(self, *rows: Row) -> list[tuple[int, int]]:
        """Claim and give (row, reason) of what was skipped."""
        return [(event["row"], event["reason"]) for event in self.claim(*rows).events("RowSkipped")]

    def refill_row(
        self,
        amount: int,
        ceiling: int,
        *,
        cumulative: int | None = None,
        epoch: int = 0,
        deadline: int = FOREVER,
        signer: Person | None = None,
        payee: Person | None = None,
        domain: dict[str, object] | None = None,
    ) -> Row:
        cumulative = amount if cumulative is None else cumulative
        signature = (signer or self.driver).sign(
            domain or self.domain(),
            "Refill",
            "address payee,uint32 epoch,uint96 cumulative,uint96 ceiling,uint32 deadline",
            {
                "payee": (payee or self.operator).address,
                "epoch": epoch,
                "cumulative": cumulative,
                "ceiling": ceiling,
                "deadline": deadline,
            },
        )
        return [*compact(signature), amount | cumulative << 96 | epoch << 192, ceiling | deadline << 96]

    def claim_refill(self, *rows: Row, sender: Person | None = None) -> Receipt:
        return self.tab.send("claim_refill", list(rows), sender=(sender or self.operator).address)

    def signed_claim(self, rows: list[Row], deadline: int, signer: Person) -> tuple[int, int]:
        words = len(rows[0])
        return compact(
            signer.sign(
                self.domain(),
                "Claim",
                "bytes32 rows,uint256 deadline",
                {"rows": keccak(encode([f"uint256[{words}][]"], [rows])), "deadline": deadline},
            )
        )

    def close_signature(
        self, amount: int, epoch: int = 0, deadline: int = FOREVER, signer: Person | None = None
    ) -> tuple[int, int]:
        return compact(
            (signer or self.operator).sign(
                self.domain(),
                "Close",
                "address payer,uint32 epoch,uint96 amount,uint256 deadline",
                {"payer": self.driver.address, "epoch": epoch, "amount": amount, "deadline": deadline},
            )
        )

    def close(
        self,
        amount: int,
        epoch: int = 0,
        *,
        deadline: int = FOREVER,
        signature: tuple[int, int] | None = None,
        agreed: int = 0,
        consent: tuple[int, int] = (0, 0),
    ) -> Receipt:
        r, vs = signature or self.close_signature(amount, epoch, deadline)
        return self.tab.send(
            "close",
            self.operator.address,
            self.driver.address,
            epoch,
            amount,
            deadline,
            r,
            vs,
            agreed,
            *consent,
            sender=self.relayer.address,
        )

    def exit_signature(self, epoch: int = 0, signer: Person | None = None) -> tuple[int, int]:
        return compact(
            (signer or self.driver).sign(
                self.domain(),
                "Exit",
                "address payee,uint32 epoch",
                {"payee": self.operator.address, "epoch": epoch},
            )
        )

    def top_up(
        self, ceiling: int, epoch: int = 0, deadline: int = FOREVER, payee: Person | None = None
    ) -> tuple[int, int]:
        return compact(
            self.driver.sign(
                self.domain(),
                "TopUp",
                "address payee,uint32 epoch,uint96 ceiling,uint256 deadline",
                {
                    "payee": (payee or self.operator).address,
                    "epoch": epoch,
                    "ceiling": ceiling,
                    "deadline": deadline,
                },
            )
        )

    def permit(self, value: int, deadline: int = FOREVER) -> tuple[int, bytes, bytes]:
        v, r, s = self.driver.sign(
            {
                "name": self.token_name,
                "version": "1",
                "chainId": CHAIN_ID,
                "verifyingContract": self.token.address,
            },
            "Permit",
            "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
            {
                "owner": self.driver.address,
                "spender": self.tab.address,
                "value": value,
                "nonce": self.token.call("nonces", self.driver.address),
                "deadline": deadline,
            },
        )
        return v, r.to_bytes(32, "big"), s.to_bytes(32, "big")

    def deposit_with_permit(
        self,
        ceiling: int,
        *,
        epoch: int = 0,
        deadline: int = FOREVER,
        payee: Person | None = None,
        top_up: tuple[int, int] | None = None,
        permit: tuple[int, bytes, bytes] | None = None,
        permitted: int | None = None,
        sender: Person | None = None,
    ) -> Receipt:
        permitted = ceiling if permitted is None else permitted
        return self.tab.send(
            "deposit_with_permit",
            (payee or self.operator).address,
            self.driver.address,
            epoch,
            ceiling,
            deadline,
            *(top_up or self.top_up(ceiling, epoch, deadline)),
            permitted,
            FOREVER,
            *(permit or self.permit(permitted)),
            sender=(sender or self.relayer).address,
        )

    def authorization(
        self,
        amount: int,
        salt: bytes,
        *,
        payee: Person | None = None,
        valid_before: int = FOREVER,
        receiver: str | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Give the driver's EIP-3009 authorization, whose nonce names the payee."""
        nonce = keccak(encode(["address", "bytes32"], [(payee or self.operator).address, salt]))
        v, r, s = self.driver.sign(
            {
                "name": self.token_name,
                "version": "1",
                "chainId": CHAIN_ID,
                "verifyingContract": self.token.address,
            },
            "ReceiveWithAuthorization",
            "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce",
            {
                "from": self.driver.address,
                "to": receiver or self.tab.address,
                "value": amount,
                "validAfter": 0,
                "validBefore": valid_before,
                "nonce": nonce,
            },
        )
        return v, r.to_bytes(32, "big"), s.to_bytes(32, "big")

    def deposit_with_authorization(
        self,
        amount: int,
        salt: bytes = bytes(32),
        *,
        payee: Person | None = None,
        valid_before: int = FOREVER,
        authorization: tuple[int, bytes, bytes] | None = None,
        sender: Person | None = None,
    ) -> Receipt:
        signature = authorization or self.authorization(amount, salt, payee=payee, valid_before=valid_before)
        return self.tab.send(
            "deposit_with_authorization",
            (payee or self.operator).address,
            self.driver.address,
            amount,
            0,
            valid_before,
            salt,
            *signature,
            sender=(sender or self.relayer).address,
        )

    def allow(self, amount: int = 2**256 - 1, owner: Person | None = None) -> None:
        """Let the tab take tokens, as refills need."""
        self.token.send("approve", self.tab.address, amount, sender=(owner or self.driver).address)

    def state(self) -> tuple[int, int, int, int]:
        """Give spent, ceiling, exit time and epoch of the driver's tab."""
        found: tuple[int, int, int, int] = self.tab.call("tab", self.operator.address, self.driver.address)
        return found

    def balance(self, who: Person | Contract) -> int:
        units: int = self.token.call("balanceOf", who.address)
        return units
