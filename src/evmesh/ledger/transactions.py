"""Signed legacy transactions (EIP-155): the only kind that every EVM chain takes."""

from dataclasses import dataclass

from evmesh.domain.ids import Address
from evmesh.ledger.signatures import keccak256, split_signature
from evmesh.ports import Signer

Rlp = bytes | int | list["Rlp"]


@dataclass(frozen=True, slots=True)
class LegacyTransaction:
    """What is to be signed; `to` is None to make a contract. Prices are in wei."""

    nonce: int
    gas_price: int
    gas: int
    to: Address | None
    data: bytes
    value: int = 0

    def sign(self, signer: Signer, chain_id: int) -> tuple[bytes, str]:
        """Give the raw transaction and its hash."""
        fields: list[Rlp] = [
            self.nonce,
            self.gas_price,
            self.gas,
            self.to.to_bytes() if self.to else b"",
            self.value,
            self.data,
        ]
        digest = keccak256(rlp([*fields, chain_id, 0, 0]))
        r, s, parity = split_signature(signer.sign(digest))
        raw = rlp([*fields, 35 + 2 * chain_id + parity, r, s])
        return raw, "0x" + keccak256(raw).hex()

    @classmethod
    def decode(cls, raw: bytes) -> "LegacyTransaction":
        """Read what `sign` gave; its signature is not looked at."""
        fields = _unpacked(raw)
        nonce, gas_price, gas, value = (int.from_bytes(fields[i], "big") for i in (0, 1, 2, 4))
        to = Address.from_bytes(fields[3]) if fields[3] else None
        return cls(nonce, gas_price, gas, to, fields[5], value)


def created_address(creator: Address, nonce: int) -> Address:
    """Give where a contract is made by the creator's transaction of this nonce."""
    return Address.from_bytes(keccak256(rlp([creator.to_bytes(), nonce]))[12:])


def rlp(item: Rlp) -> bytes:
    """Encode by Ethereum's Recursive Length Prefix; integers big-endian without leading zeros."""
    if isinstance(item, int):
        return rlp(item.to_bytes((item.bit_length() + 7) // 8, "big"))
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _head(0x80, len(item)) + item
    body = b"".join(rlp(part) for part in item)
    return _head(0xC0, len(body)) + body


def _head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size


def _unpacked(raw: bytes) -> list[bytes]:
    """Read a list of byte strings, the only shape of RLP that a legacy transaction has."""
    fields, at = [], _body(raw, 0)[0]
    while at < len(raw):
        start, end = _body(raw, at)
        fields.append(raw[start:end])
        at = end
    return fields


def _body(raw: bytes, at: int) -> tuple[int, int]:
    """Give where the content of the item at `at` starts and ends."""
    first = raw[at]
    if first < 0x80:
        return at, at + 1
    short = first - (0xC0 if first >= 0xC0 else 0x80)
    if short < 56:
        return at + 1, at + 1 + short
    start = at + 1 + short - 55
    return start, start + int.from_bytes(raw[at + 1 : start], "big")
