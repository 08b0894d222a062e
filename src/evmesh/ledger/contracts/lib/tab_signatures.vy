# pragma version 0.4.3
# pragma evm-version cancun
"""
@title What ChargeTab lets people sign
@license Apache-2.0
@notice EIP-712 over ("ChargeTab", "1", chain, this contract); signatures are EIP-2098: r, then s with the
        parity of y in the top bit. A high s and a recovery of nobody are refused.
"""

VOUCHER_TYPE: constant(bytes32) = keccak256("Voucher(address payee,uint32 epoch,uint96 cumulative)")
REFILL_TYPE: constant(bytes32) = keccak256(
    "Refill(address payee,uint32 epoch,uint96 cumulative,uint96 ceiling,uint32 deadline)"
)
TOP_UP_TYPE: constant(bytes32) = keccak256(
    "TopUp(address payee,uint32 epoch,uint96 ceiling,uint256 deadline)"
)
EXIT_TYPE: constant(bytes32) = keccak256("Exit(address payee,uint32 epoch)")
CLOSE_TYPE: constant(bytes32) = keccak256(
    "Close(address payer,uint32 epoch,uint96 amount,uint256 deadline)"
)
CLAIM_TYPE: constant(bytes32) = keccak256("Claim(bytes32 rows,uint256 deadline)")

# half the order of secp256k1: a higher s is the twin of a lower one
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
MASK255: constant(uint256) = 2**255 - 1

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)

CHAIN: immutable(uint256)
DOMAIN: immutable(bytes32)


@deploy
def __init__():
    CHAIN = chain.id
    DOMAIN = self._domain_of(chain.id)


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return self._domain()


@internal
@view
def _check(signer: address, struct_hash: bytes32, r: uint256, vs: uint256, why: String[40]):
    s: uint256 = vs & MASK255
    assert s <= HALF_ORDER, "tab: malleable signature"
    digest: bytes32 = keccak256(concat(0x1901, self._domain(), struct_hash))
    recovered: address = ecrecover(digest, 27 + (vs >> 255), r, s)
    assert recovered != empty(address) and recovered == signer, why


@internal
@view
def _check_claim(payee: address, rows: bytes32, deadline: uint256, signature: uint256[2]):
    """
    @dev The count of rows stands in front of their words, so that no hash of vouchers is one of refills,
         though four rows of three words are three rows of four.
    """
    assert block.timestamp <= deadline, "tab: claim too late"
    self._check(
        payee, keccak256(abi_encode(CLAIM_TYPE, rows, deadline)), signature[0], signature[1],
        "tab: claim not signed by payee"
    )


@internal
@view
def _domain() -> bytes32:
    """
    @dev Follows the chain's id: after a fork, what was signed for the old chain is dead on the new one.
    """
    if chain.id == CHAIN:
        return DOMAIN
    return self._domain_of(chain.id)


@internal
@view
def _domain_of(chain_id: uint256) -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, keccak256("ChargeTab"), keccak256("1"), chain_id, self))
