"""Transactions are byte for byte what eth-account makes of the same fields."""

from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.ids import Address
from evmesh.ledger.signatures import KeySigner
from evmesh.ledger.transactions import LegacyTransaction, created_address, rlp

SECRET = keccak(b"a relayer")

addresses = st.binary(min_size=20, max_size=20).map(Address.from_bytes)
transactions = st.builds(
    LegacyTransaction,
    nonce=st.integers(0, 2**40),
    gas_price=st.integers(0, 2**60),
    gas=st.integers(21_000, 30_000_000),
    to=addresses | st.none(),
    data=st.binary(max_size=80) | st.binary(min_size=250, max_size=70_000),
    value=st.integers(0, 2**100),
)


@given(transactions, st.integers(1, 2**31))
def test_a_signed_transaction_is_what_eth_account_makes(
    transaction: LegacyTransaction, chain_id: int
) -> None:
    fields = {
        "nonce": transaction.nonce,
        "gasPrice": transaction.gas_price,
        "gas": transaction.gas,
        "value": transaction.value,
        "data": transaction.data,
        "chainId": chain_id,
    }
    if transaction.to:
        fields["to"] = to_checksum_address(transaction.to.text)
    theirs = Account.sign_transaction(fields, SECRET)
    raw, tx_hash = transaction.sign(KeySigner(SECRET), chain_id)
    assert raw == theirs.raw_transaction
    assert tx_hash == "0x" + theirs.hash.hex()
    assert LegacyTransaction.decode(raw) == transaction


def test_where_a_contract_is_made_follows_from_creator_and_nonce() -> None:
    """The example that everybody has: https://ethereum.stackexchange.com/q/760."""
    creator = Address.parse("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    made = [created_address(creator, nonce).text for nonce in (0, 1, 2)]
    assert made == [
        "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
        "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91",
    ]


def test_rlp_examples_of_the_specification() -> None:
    assert rlp(b"dog") == b"\x83dog"
    assert rlp([b"cat", b"dog"]) == b"\xc8\x83cat\x83dog"
    assert rlp(0) == rlp(b"") == b"\x80"
    assert rlp(15) == b"\x0f"
    assert rlp(1024) == b"\x82\x04\x00"
    assert rlp([]) == b"\xc0"
    assert rlp(b"x" * 56) == b"\xb8\x38" + b"x" * 56
