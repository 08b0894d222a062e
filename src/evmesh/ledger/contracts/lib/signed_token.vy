# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A token that moves by signatures
@license Apache-2.0
@notice ERC-20 with permit (EIP-2612) and authorizations (EIP-3009), 6 decimals. Who mints is for the
        contract to say.
"""

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIVE_TYPE: constant(bytes32) = keccak256(
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_TYPE: constant(bytes32) = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)")
# half the order of secp256k1: a higher s is the twin of a lower one
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

event AuthorizationCanceled:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

NAME: immutable(String[32])
SYMBOL: immutable(String[8])
NAME_HASH: immutable(bytes32)
VERSION: constant(String[1]) = "1"

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
totalSupply: public(uint256)
nonces: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


@deploy
def __init__(name_: String[32], symbol_: String[8]):
    NAME = name_
    SYMBOL = symbol_
    NAME_HASH = keccak256(name_)


@external
@view
def name() -> String[32]:
    return NAME


@external
@view
def symbol() -> String[8]:
    return SYMBOL


@external
@view
def decimals() -> uint8:
    return 6


@external
@view
def version() -> String[1]:
    """
    @notice Give the version that stands in the EIP-712 domain.
    """
    return VERSION


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return self._domain()


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._transfer(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[sender][msg.sender]
    if allowed != max_value(uint256):
        assert allowed >= amount, "token: allowance too small"
        self.allowance[sender][msg.sender] = allowed - amount
    self._transfer(sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self._approve(msg.sender, spender, amount)
    return True


@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    """
    @notice Approve by the owner's signature (EIP-2612).
    """
    assert block.timestamp <= deadline, "token: permit too late"
    nonce: uint256 = self.nonces[owner]
    self._check_signature(
        owner, keccak256(abi_encode(PERMIT_TYPE, owner, spender, amount, nonce, deadline)), v, r, s
    )
    self.nonces[owner] = nonce + 1
    self._approve(owner, spender, amount)


@external
def transferWithAuthorization(
    sender: address, receiver: address, amount: uint256, validAfter: uint256, validBefore: uint256,
    nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    """
    @notice Transfer by the sender's signature, sent by anybody (EIP-3009).
    """
    self._use_authorization(
        sender,
        keccak256(abi_encode(TRANSFER_TYPE, sender, receiver, amount, validAfter, validBefore, nonce)),
        validAfter, validBefore, nonce, v, r, s
    )
    self._transfer(sender, receiver, amount)


@external
def receiveWithAuthorization(
    sender: address, receiver: address, amount: uint256, validAfter: uint256, validBefore: uint256,
    nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    """
    @notice Transfer by the sender's signature, sent by the receiver (EIP-3009).
    """
    assert msg.sender == receiver, "token: not the receiver"
    self._use_authorization(
        sender,
        keccak256(abi_encode(RECEIVE_TYPE, sender, receiver, amount, validAfter, validBefore, nonce)),
        validAfter, validBefore, nonce, v, r, s
    )
    self._transfer(sender, receiver, amount)


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    """
    @notice Make an authorization that was not used yet unusable (EIP-3009).
    """
    assert not self.authorizationState[authorizer][nonce], "token: authorization used"
    self._check_signature(authorizer, keccak256(abi_encode(CANCEL_TYPE, authorizer, nonce)), v, r, s)
    self.authorizationState[authorizer][nonce] = True
    log AuthorizationCanceled(authorizer=authorizer, nonce=nonce)


@internal
def _use_authorization(
    sender: address, struct_hash: bytes32, valid_after: uint256, valid_before: uint256,
    nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    assert block.timestamp > valid_after, "token: authorization too early"
    assert block.timestamp < valid_before, "token: authorization too late"
    assert not self.authorizationState[sender][nonce], "token: authorization used"
    self._check_signature(sender, struct_hash, v, r, s)
    self.authorizationState[sender][nonce] = True
    log AuthorizationUsed(authorizer=sender, nonce=nonce)


@internal
@view
def _check_signature(signer: address, struct_hash: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert convert(s, uint256) <= HALF_ORDER, "token: malleable signature"
    digest: bytes32 = keccak256(concat(0x1901, self._domain(), struct_hash))
    assert signer != empty(address) and ecrecover(digest, v, r, s) == signer, "token: wrong signature"


@internal
@view
def _domain() -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, NAME_HASH, keccak256(VERSION), chain.id, self))


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, value=amount)


@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address), "token: no receiver"
    balance: uint256 = self.balanceOf[sender]
    assert balance >= amount, "token: balance too small"
    self.balanceOf[sender] = balance - amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _mint(receiver: address, amount: uint256):
    assert receiver != empty(address), "token: no receiver"
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)


@internal
def _burn(holder: address, amount: uint256):
    balance: uint256 = self.balanceOf[holder]
    assert balance >= amount, "token: balance too small"
    self.balanceOf[holder] = balance - amount
    self.totalSupply -= amount
    log Transfer(sender=holder, receiver=empty(address), value=amount)
