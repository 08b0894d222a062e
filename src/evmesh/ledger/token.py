"""The payment token: any ERC-20 with permit; on development chains `DevToken`, which can be minted."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from evmesh.domain.chain import Mined
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused
from evmesh.domain.ids import Address
from evmesh.domain.typed_data import Domain, StructType, TypedStruct, Value
from evmesh.ledger.abi import decode_values, encode_call, encode_values
from evmesh.ledger.answers import printable
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import keccak256

MAX_SYMBOL: Final = 12
"""Of a token's name that is shown beside amounts: a stranger chose it."""


@dataclass(frozen=True, slots=True)
class Permit(TypedStruct):
    """EIP-2612: `spender` may take `value` from `owner`. Signed under the token's domain."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    )

    owner: Address
    spender: Address
    value: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class ReceiveWithAuthorization(TypedStruct):
    """EIP-3009: `receiver` may take `value` from `sender`, once. Signed under the token's domain."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    )

    sender: Address
    receiver: Address
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes

    def values(self) -> tuple[Value, ...]:
        """Give the members in order; `from` cannot be a name in Python."""
        return (
            self.sender,
            self.receiver,
            self.value,
            self.valid_after,
            self.valid_before,
            self.nonce,
        )


@dataclass(frozen=True, slots=True)
class TransferWithAuthorization(TypedStruct):
    """EIP-3009: anybody may send this transfer from `sender`, once. Signed under the token's domain."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    )

    sender: Address
    receiver: Address
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes

    def values(self) -> tuple[Value, ...]:
        """Give the members in order; `from` cannot be a name in Python."""
        return (
            self.sender,
            self.receiver,
            self.value,
            self.valid_after,
            self.valid_before,
            self.nonce,
        )


def deposit_nonce(payee: Address, salt: bytes) -> bytes:
    """Give the nonce of a deposit's authorization: keccak256(abi.encode(payee, salt))."""
    return keccak256(encode_values(("address", "bytes32"), payee, salt))


class Token:
    """Reads balances, and what a permit has to name."""

    def __init__(self, rpc: JsonRpc, contract: Address, chain_id: int) -> None:
        self._rpc = rpc
        self.contract = contract
        self._chain_id = chain_id
        self._domain: Domain | None = None
        self._lock = asyncio.Lock()

    async def balance(self, account: Address) -> int:
        """Give the units that an account holds."""
        return await self._number(encode_call("balanceOf(address)", account))

    async def allowance(self, owner: Address, spender: Address) -> int:
        """Give the units that `spender` may take from `owner`."""
        return await self._number(encode_call("allowance(address,address)", owner, spender))

    async def permit_nonce(self, owner: Address) -> int:
        """Give the number that the owner's next permit has to carry."""
        return await self._number(encode_call("nonces(address)", owner))

    async def domain(self) -> Domain:
        """Give the domain that permits are signed under, as the token itself names it."""
        async with self._lock:
            if self._domain is None:
                name, version = await self._rpc.read_many(
                    [(self.contract, encode_call("name()")), (self.contract, encode_call("version()"))]
                )
                self._domain = Domain(
                    chain_id=self._chain_id,
                    verifying_contract=self.contract,
                    name=decode_values(("string",), name)[0],
                    version=decode_values(("string",), version)[0],
                )
            return self._domain

    async def symbol(self) -> str:
        """Give what the token calls itself, fit to be shown; empty where it says nothing that can be read."""
        try:
            said = decode_values(("string",), await self._rpc.read(self.contract, encode_call("symbol()")))
        except (Refused, ProtocolViolation, InvalidInput):
            return ""
        return printable(str(said[0]).strip(), MAX_SYMBOL)

    async def _number(self, data: bytes) -> int:
        raw = await self._rpc.read(self.contract, data)
        return int(decode_values(("uint256",), raw)[0])


class Faucet:
    """Mints development tokens, by the account that made the contract."""

    def __init__(self, token: Address, relayer: Relayer) -> None:
        self._token = token
        self._relayer = relayer

    async def mint(self, receiver: Address, amount: int, key: str) -> Mined:
        """Mint once for `key`; raises Refused `token.not_the_minter` with any other account."""
        data = encode_call("mint(address,uint256)", receiver, amount)
        return await self._relayer.submit(key, self._token, data)
