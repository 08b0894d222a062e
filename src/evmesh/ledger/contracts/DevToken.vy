# pragma version 0.4.3
# pragma evm-version cancun
"""
@title DevToken
@license Apache-2.0
@notice A currency for development: ERC-20 with permit (EIP-2612) and authorizations (EIP-3009).
@custom:units one unit is one micro-currency; 6 decimals
@custom:holds no funds of its own
@custom:stop the minter may mint without limit and nothing else; never use this where money is real
"""
from ethereum.ercs import IERC20

from lib import signed_token as base

implements: IERC20
initializes: base
exports: base.__interface__

MINTER: immutable(address)


@deploy
def __init__():
    base.__init__("DevEUR", "devEUR")
    MINTER = msg.sender


@external
@view
def minter() -> address:
    return MINTER


@external
def mint(receiver: address, amount: uint256):
    """
    @notice Make new units, by the minter.
    """
    assert msg.sender == MINTER, "token: not the minter"
    base._mint(receiver, amount)
