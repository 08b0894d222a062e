"""EIP-712: structured values that wallets show, people sign, and contracts check.

Pure encoding; Keccak-256 is handed in. Members are of the types that evmesh signs: address,
uintN, bytes32, bool and string, with no arrays and no nesting. The types themselves are in
`signed_types.py`, and under which domain each is signed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Self

from evmesh.domain.canonical import Json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.strict import (
    StrictFields,
    checked_address,
    checked_bytes,
    checked_decimal,
    checked_integer,
    write_bytes,
)

Keccak = Callable[[bytes], bytes]
Value = Address | int | bytes | str
"""A member's value: account, uintN or bool, bytes32, string."""

_SIGNATURE: Final = re.compile(r"([A-Z][A-Za-z0-9]*)\(([A-Za-z0-9 ,]+)\)")
_UINT: Final = re.compile(r"uint([0-9]{1,3})")
_HUMP: Final = re.compile(r"([a-z])([A-Z])")


@dataclass(frozen=True, slots=True)
class StructType:
    """A signed type: its name and its members in order, each (name, type)."""

    name: str
    members: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, signature: str) -> "StructType":
        """Read EIP-712's own spelling, e.g. `Exit(address payee,uint32 epoch)`."""
        match = _SIGNATURE.fullmatch(signature)
        if match is None:
            raise ValueError(f"not a type: {signature!r}")
        members = tuple(tuple(member.split(" ")) for member in match[2].split(","))
        return cls(match[1], tuple((name, kind) for kind, name in members))

    def __str__(self) -> str:
        """Spell it as EIP-712's encodeType does."""
        return f"{self.name}({','.join(f'{kind} {name}' for name, kind in self.members)})"


@lru_cache(maxsize=256)
def _attribute(member: str) -> str:
    return _HUMP.sub(r"\1_\2", member).lower()


@lru_cache(maxsize=256)
def _fitting(kind: str) -> Callable[[object], bool]:
    """Give what says whether a value is of a type; nothing is of a type that evmesh does not sign."""
    if bits := _UINT.fullmatch(kind):
        end = 1 << int(bits[1])
        return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end
    if kind == "bytes32":
        return lambda value: isinstance(value, bytes) and len(value) == 32
    wanted = {"bool": bool, "address": Address, "string": str}.get(kind)
    return lambda value: wanted is not None and isinstance(value, wanted)


@dataclass(frozen=True, slots=True)
class TypedStruct:
    """Base of the values that are signed: a frozen dataclass, its fields in the type's order.

    A field is the type's member in snake case (`energyWh` is `energy_wh`). Values out of the
    member's range are refused when the value is made: InvalidInput `typed_data.bad_value`.
    """

    TYPE: ClassVar[StructType]
    _FITS: ClassVar[tuple[Callable[[object], bool], ...]]
    _FIELDS: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        # Once a class: a station checks a voucher for each 100 Wh of each car.
        cls._FITS = tuple(_fitting(kind) for _, kind in cls.TYPE.members)
        cls._FIELDS = tuple(_attribute(name) for name, _ in cls.TYPE.members)

    def __post_init__(self) -> None:
        for place, (fits, value) in enumerate(zip(self._FITS, self.values(), strict=True)):
            if not fits(value):
                name, kind = self.TYPE.members[place]
                raise InvalidInput(
                    "typed_data.bad_value", f"{str(value)[:60]} is not of type {kind}", path=name
                )

    def values(self) -> tuple[Value, ...]:
        """Give the members' values in order."""
        return tuple([getattr(self, field) for field in self._FIELDS])

    def to_document(self) -> Json:
        """Give the form that documents carry, with the type's own member names.

        uintN are decimal strings, bool is 0 or 1, addresses and bytes32 lower-case hexadecimal.
        """
        return {
            name: int(bool(value)) if kind == "bool" else _plain(value)
            for (name, kind), value in zip(self.TYPE.members, self.values(), strict=True)
        }

    @classmethod
    def from_document(cls, document: object, path: str = "") -> Self:
        """Read what `to_document` gives, and nothing else; raises InvalidInput with the path."""
        members = StrictFields(document, path)
        values = {
            _attribute(name): _read(kind, members.take(name), members.path(name))
            for name, kind in cls.TYPE.members
        }
        members.done()
        try:
            return cls(**values)
        except InvalidInput as error:
            raise InvalidInput(error.code, error.what, path=members.path(error.path)) from error


@dataclass(frozen=True, slots=True)
class Domain(TypedStruct):
    """What a signature is good for: one contract on one chain."""

    TYPE: ClassVar[StructType] = StructType(
        "EIP712Domain",
        (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")),
    )

    chain_id: int
    verifying_contract: Address
    name: str = "ChargeTab"
    version: str = "1"


def hash_struct(value: TypedStruct, keccak: Keccak) -> bytes:
    """Give EIP-712's hashStruct."""
    encoded = [_encode(member, keccak) for member in value.values()]
    return keccak(type_hash(type(value), keccak) + b"".join(encoded))


def type_hash(struct: type[TypedStruct], keccak: Keccak) -> bytes:
    """Give EIP-712's typeHash."""
    return _type_hash(struct.TYPE, keccak)


def digest(domain: Domain, value: TypedStruct, keccak: Keccak) -> bytes:
    """Give the 32 bytes that are signed."""
    return keccak(b"\x19\x01" + domain_separator(domain, keccak) + hash_struct(value, keccak))


@lru_cache(maxsize=256)
def domain_separator(domain: Domain, keccak: Keccak) -> bytes:
    """Give the hash of the domain, which contracts hold as a constant."""
    return hash_struct(domain, keccak)


def to_json(domain: Domain, value: TypedStruct) -> dict[str, Any]:
    """Give what a wallet's `eth_signTypedData_v4` takes; uintN are decimal strings, but for chainId."""
    message = {
        name: bool(member) if kind == "bool" else _plain(member)
        for (name, kind), member in zip(value.TYPE.members, value.values(), strict=True)
    }
    return {
        "types": {
            struct.name: [{"name": name, "type": kind} for name, kind in struct.members]
            for struct in (Domain.TYPE, value.TYPE)
        },
        "primaryType": value.TYPE.name,
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.verifying_contract.text,
        },
        "message": message,
    }


@lru_cache(maxsize=256)
def _type_hash(kind: StructType, keccak: Keccak) -> bytes:
    return keccak(str(kind).encode())


def _encode(value: Value, keccak: Keccak) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, bytes):
        return value
    if isinstance(value, Address):
        return bytes(12) + value.to_bytes()
    return keccak(value.encode())


def _plain(value: Value) -> str:
    if isinstance(value, bytes):
        return write_bytes(value)
    return str(value)


def _read(kind: str, value: object, path: str) -> Value:
    if kind == "bool":
        return checked_integer(value, path, 0, 1) == 1
    if kind == "address":
        return checked_address(value, path)
    if kind == "bytes32":
        return checked_bytes(value, 32, path)
    if kind == "string":
        if not isinstance(value, str):
            raise InvalidInput("document.bad_value", "a text must stand here", path=path)
        return value
    return checked_decimal(value, path)
