# pragma version 0.4.3
# pragma evm-version cancun
"""
@title The book of ChargeTab
@license Apache-2.0
@notice Who has paid in how much, what of it is spent, and what is owed to payees.
@dev The contract holds the sum of ceiling - spent over all tabs and of earned - paid out over all accounts.
"""
from ethereum.ercs import IERC20

# one word per tab: spent 96 | ceiling 96 | exit time 32 | epoch 32, from the low bit up
MASK96: constant(uint256) = 2**96 - 1
MASK32: constant(uint256) = 2**32 - 1
CEILING_SHIFT: constant(uint256) = 96
EXIT_SHIFT: constant(uint256) = 192
EPOCH_SHIFT: constant(uint256) = 224

# one word per account: earned 128 | paid out 128, from the low bit up
MASK128: constant(uint256) = 2**128 - 1

event Closed:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    amount: uint256
    returned: uint256

TOKEN: immutable(IERC20)

tabs: HashMap[address, HashMap[address, uint256]]  # payee, payer
accounts: HashMap[address, uint256]  # payee; both sums since the contract began


@deploy
def __init__(token: address):
    assert token.is_contract, "tab: no such token"
    TOKEN = IERC20(token)


@external
@view
def token() -> address:
    return TOKEN.address


@external
@view
def tab(payee: address, payer: address) -> (uint256, uint256, uint256, uint256):
    """
    @notice Give spent, ceiling, exit time (0: none) and epoch.
    """
    word: uint256 = self.tabs[payee][payer]
    return (
        word & MASK96,
        (word >> CEILING_SHIFT) & MASK96,
        (word >> EXIT_SHIFT) & MASK32,
        word >> EPOCH_SHIFT
    )


@external
@view
def account(payee: address) -> (uint256, uint256):
    """
    @notice Give what a payee earned and what was paid out to it, since the contract began.
    """
    word: uint256 = self.accounts[payee]
    return word & MASK128, word >> 128


@internal
@view
def _word_of(payee: address, payer: address, epoch: uint256) -> uint256:
    word: uint256 = self.tabs[payee][payer]
    assert word >> EPOCH_SHIFT == epoch, "tab: other epoch"
    return word


@internal
def _earn(payee: address, amount: uint256):
    word: uint256 = self.accounts[payee]
    assert (word & MASK128) + amount <= MASK128, "tab: earnings past 2^128"
    self.accounts[payee] = word + amount


@internal
def _finish(payee: address, payer: address, epoch: uint256, amount: uint256, ceiling: uint256) -> uint256:
    """
    @dev Begin the next epoch and return what is not spent. What was signed for this epoch is dead.
    """
    assert epoch < MASK32, "tab: out of epochs"
    returned: uint256 = ceiling - amount
    self.tabs[payee][payer] = (epoch + 1) << EPOCH_SHIFT
    if returned != 0:
        self._send(payer, returned)
    log Closed(payee=payee, payer=payer, epoch=epoch, amount=amount, returned=returned)
    return returned


@internal
def _send(receiver: address, amount: uint256):
    assert extcall TOKEN.transfer(receiver, amount, default_return_value=True), "tab: token refused"
