"""A token that changes its manners: what a ChargeTab meets where its ERC-20 is not a good one."""

from enum import IntEnum

from tests.contract.chain import Chain, Contract, Person


class Mood(IntEnum):
    """How the next transfers from an allowance go."""

    FAIR = 0
    FEE = 1
    """A tenth is kept on the way."""
    REFUSES = 2
    SAYS_NO = 3
    """Returns false and moves nothing."""
    SAYS_NO_AND_MOVES = 4
    MOVES_NOTHING = 5
    """Returns true all the same."""
    BURNS_GAS = 6
    DOUBLES = 7
    SHRINKS = 8
    """What the receiver has gets less instead."""


SOURCE = """
# pragma version 0.4.3
# pragma evm-version cancun
from lib import signed_token as base

initializes: base
exports: (
    base.balanceOf, base.allowance, base.totalSupply, base.nonces, base.name, base.version, base.decimals,
    base.DOMAIN_SEPARATOR, base.approve, base.permit
)
mood: public(uint256)
target: address
calldata: Bytes[4096]
insists: bool
answers: public(uint256)

@deploy
def __init__():
    base.__init__("DevEUR", "devEUR")

@external
def mint(receiver: address, amount: uint256):
    base._mint(receiver, amount)

@external
def set_mood(mood: uint256):
    self.mood = mood

@external
def call_back(target: address, calldata: Bytes[4096], insists: bool):
    self.target = target
    self.calldata = calldata
    self.insists = insists

@external
def halve(holder: address):
    base.balanceOf[holder] = base.balanceOf[holder] // 2

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._call_back()
    if self.mood == 2:
        raise "token: refused"
    if self.mood == 3:
        return False
    base._transfer(msg.sender, receiver, amount)
    return True

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    assert base.allowance[sender][msg.sender] >= amount, "token: allowance too small"
    before: uint256 = base.balanceOf[sender]
    answer: bool = self._move(sender, receiver, amount)
    base.allowance[sender][msg.sender] -= before - base.balanceOf[sender]
    return answer

@external
def receiveWithAuthorization(
    sender: address, receiver: address, amount: uint256, validAfter: uint256, validBefore: uint256,
    nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    assert msg.sender == receiver, "token: not the receiver"
    base._use_authorization(
        sender,
        keccak256(abi_encode(base.RECEIVE_TYPE, sender, receiver, amount, validAfter, validBefore, nonce)),
        validAfter, validBefore, nonce, v, r, s
    )
    answer: bool = self._move(sender, receiver, amount)

@internal
def _move(sender: address, receiver: address, amount: uint256) -> bool:
    self._call_back()
    mood: uint256 = self.mood
    if mood == 2:
        raise "token: refused"
    if mood == 3:
        return False
    if mood == 5:
        return True
    if mood == 6:
        for _: uint256 in range(10_000_000):
            pass
    if mood == 8:
        base.balanceOf[receiver] -= 1
        return True
    base._transfer(sender, receiver, amount)
    if mood == 1:
        base.balanceOf[receiver] -= amount - amount * 9 // 10
    if mood == 7:
        base.balanceOf[receiver] += amount
    return mood != 4

@internal
def _call_back():
    if self.target != empty(address):
        self.answers += 1
        done: bool = raw_call(self.target, self.calldata, revert_on_failure=False)
        if self.insists:
            assert done, "token: call back"
"""


def make_fickle(chain: Chain) -> Contract:
    """Deploy one; anybody may mint, and set its mood."""
    return chain.deploy_source(SOURCE, sender=Person.make(chain, "deployer").address)
