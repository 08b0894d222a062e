# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Ways out of ChargeTab
@license Apache-2.0
@notice A tab ends at once where the payee agrees (close), and one window later where it does not (exit).
"""
from lib import tab_book as book
from lib import tab_signatures as signatures

uses: book
uses: signatures

MIN_WINDOW: constant(uint256) = 86_400

event ExitBegun:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    exit_time: uint256

WINDOW: immutable(uint256)


@deploy
def __init__(window: uint256):
    assert window >= MIN_WINDOW and window <= book.MASK32 // 2, "tab: window out of range"
    WINDOW = window


@external
@view
def window() -> uint256:
    """
    @notice Give the seconds between begin_exit and finish_exit.
    """
    return WINDOW


@external
@nonreentrant
def close(
    payee: address, payer: address, epoch: uint256, amount: uint256, deadline: uint256, r: uint256, vs: uint256,
    cumulative: uint256 = 0, voucher_r: uint256 = 0, voucher_vs: uint256 = 0
) -> uint256:
    """
    @notice End a tab at a final total by the payee's Close, and return the rest to the payer; sent by anybody.
    @dev Above what is already spent the payer has to agree too, by a voucher of at least the final total.
         The payer's consent is a Voucher and not a Close since a Close does not name the payee.
    @return What was returned to the payer.
    """
    assert block.timestamp <= deadline, "tab: close too late"
    word: uint256 = book._word_of(payee, payer, epoch)
    spent: uint256 = word & book.MASK96
    ceiling: uint256 = (word >> book.CEILING_SHIFT) & book.MASK96
    assert ceiling != 0, "tab: nothing to close"
    assert amount >= spent, "tab: final total below spent"
    assert amount <= ceiling, "tab: final total above ceiling"
    signatures._check(
        payee, keccak256(abi_encode(signatures.CLOSE_TYPE, payer, epoch, amount, deadline)), r, vs,
        "tab: close not signed by payee"
    )
    if amount > spent:
        assert amount <= cumulative and cumulative <= book.MASK96, "tab: final total not agreed"
        signatures._check(
            payer, keccak256(abi_encode(signatures.VOUCHER_TYPE, payee, epoch, cumulative)),
            voucher_r, voucher_vs, "tab: final total not agreed"
        )
        book._earn(payee, amount - spent)
    return book._finish(payee, payer, epoch, amount, ceiling)


@external
@nonreentrant
def begin_exit(payee: address):
    """
    @notice Begin to leave a tab of the sender; nothing cancels it, and nothing more can be deposited.
    """
    self._begin_exit(payee, msg.sender, book.tabs[payee][msg.sender])


@external
@nonreentrant
def begin_exit_signed(payee: address, payer: address, epoch: uint256, r: uint256, vs: uint256):
    """
    @notice Begin to leave a tab by the payer's Exit; sent by anybody.
    """
    word: uint256 = book._word_of(payee, payer, epoch)
    signatures._check(
        payer, keccak256(abi_encode(signatures.EXIT_TYPE, payee, epoch)), r, vs,
        "tab: exit not signed by payer"
    )
    self._begin_exit(payee, payer, word)


@external
@nonreentrant
def finish_exit(payee: address, payer: address) -> uint256:
    """
    @notice Return what a tab has left to its payer, one window after begin_exit; sent by anybody.
    @dev Until this is called the payee may still claim what the payer signed.
    @return What was returned to the payer.
    """
    word: uint256 = book.tabs[payee][payer]
    exit_time: uint256 = (word >> book.EXIT_SHIFT) & book.MASK32
    assert exit_time != 0, "tab: no exit begun"
    assert block.timestamp >= exit_time, "tab: exit too early"
    return book._finish(
        payee, payer, word >> book.EPOCH_SHIFT, word & book.MASK96, (word >> book.CEILING_SHIFT) & book.MASK96
    )


@internal
def _begin_exit(payee: address, payer: address, word: uint256):
    assert (word >> book.EXIT_SHIFT) & book.MASK32 == 0, "tab: exit begun"
    assert (word >> book.CEILING_SHIFT) & book.MASK96 != 0, "tab: nothing to leave"
    exit_time: uint256 = block.timestamp + WINDOW
    assert exit_time <= book.MASK32, "tab: time past 2^32"
    book.tabs[payee][payer] = word | (exit_time << book.EXIT_SHIFT)
    log ExitBegun(payee=payee, payer=payer, epoch=word >> book.EPOCH_SHIFT, exit_time=exit_time)
