# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Deposits into ChargeTab
@license Apache-2.0
@notice Money comes in by approval, by permit (EIP-2612) or by authorization (EIP-3009); the latter two are
        signatures that anybody may send, so that a payer never needs gas.
@dev Credited is what was asked for or what has arrived, whichever is less.
"""
from lib import tab_book as book
from lib import tab_signatures as signatures

uses: book
uses: signatures

interface Authorizing:
    def receiveWithAuthorization(
        sender: address, receiver: address, amount: uint256, valid_after: uint256, valid_before: uint256,
        nonce: bytes32, v: uint8, r: bytes32, s: bytes32
    ): nonpayable

event Deposited:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    credited: uint256
    ceiling: uint256


@external
@nonreentrant
def deposit(payee: address, amount: uint256) -> uint256:
    """
    @notice Raise the ceiling of the sender's tab by up to `amount`, from the sender's approved tokens.
    @return What was credited.
    """
    return self._pull(payee, msg.sender, book.tabs[payee][msg.sender], amount)


@external
@nonreentrant
def deposit_with_permit(
    payee: address, payer: address, epoch: uint256, ceiling: uint256, deadline: uint256, r: uint256, vs: uint256,
    permit_amount: uint256, permit_deadline: uint256, permit_v: uint8, permit_r: bytes32, permit_s: bytes32
) -> uint256:
    """
    @notice Raise the ceiling of the payer's tab to `ceiling` by the payer's TopUp; sent by anybody.
    @dev The permit may have been used by somebody else before, or not be needed at all: what counts
         is that the allowance is there.
    @return What was credited.
    """
    word: uint256 = self._check_top_up(payee, payer, epoch, ceiling, deadline, r, vs)
    permitted: bool = raw_call(
        book.TOKEN.address,
        abi_encode(
            payer, self, permit_amount, permit_deadline, permit_v, permit_r, permit_s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")
        ),
        revert_on_failure=False
    )
    return self._pull(payee, payer, word, ceiling - ((word >> book.CEILING_SHIFT) & book.MASK96))


@external
@nonreentrant
def deposit_with_authorization(
    payee: address, payer: address, amount: uint256, valid_after: uint256, valid_before: uint256, salt: bytes32,
    v: uint8, r: bytes32, s: bytes32
) -> uint256:
    """
    @notice Raise the ceiling of the payer's tab by up to `amount`, by the payer's ReceiveWithAuthorization
            (EIP-3009) to this contract; sent by anybody.
    @dev The authorization's nonce is keccak256(abi.encode(payee, salt)): who signed it named the payee.
         It is good once, in whatever epoch the tab is then; the payer's token can cancel it.
    @return What was credited.
    """
    word: uint256 = book.tabs[payee][payer]
    before: uint256 = self._before(payee, word, amount)
    extcall Authorizing(book.TOKEN.address).receiveWithAuthorization(
        payer, self, amount, valid_after, valid_before, keccak256(abi_encode(payee, salt)), v, r, s
    )
    return self._credit(payee, payer, word, amount, before)


@internal
@view
def _check_top_up(
    payee: address, payer: address, epoch: uint256, ceiling: uint256, deadline: uint256, r: uint256, vs: uint256
) -> uint256:
    assert block.timestamp <= deadline, "tab: top-up too late"
    word: uint256 = book._word_of(payee, payer, epoch)
    assert ceiling <= book.MASK96, "tab: ceiling past 2^96"
    assert ceiling > (word >> book.CEILING_SHIFT) & book.MASK96, "tab: ceiling already reached"
    signatures._check(
        payer, keccak256(abi_encode(signatures.TOP_UP_TYPE, payee, epoch, ceiling, deadline)), r, vs,
        "tab: top-up not signed by payer"
    )
    return word


@internal
def _pull(payee: address, payer: address, word: uint256, amount: uint256) -> uint256:
    before: uint256 = self._before(payee, word, amount)
    assert extcall book.TOKEN.transferFrom(payer, self, amount, default_return_value=True), "tab: token refused"
    return self._credit(payee, payer, word, amount, before)


@internal
@view
def _before(payee: address, word: uint256, amount: uint256) -> uint256:
    assert payee != empty(address), "tab: no payee"
    assert (word >> book.EXIT_SHIFT) & book.MASK32 == 0, "tab: exit begun"
    ceiling: uint256 = (word >> book.CEILING_SHIFT) & book.MASK96
    assert amount <= book.MASK96 - ceiling, "tab: ceiling past 2^96"
    return staticcall book.TOKEN.balanceOf(self)


@internal
def _credit(payee: address, payer: address, word: uint256, amount: uint256, before: uint256) -> uint256:
    after: uint256 = staticcall book.TOKEN.balanceOf(self)
    assert after > before, "tab: nothing arrived"
    credited: uint256 = min(amount, after - before)
    fresh: uint256 = word + (credited << book.CEILING_SHIFT)
    book.tabs[payee][payer] = fresh
    log Deposited(
        payee=payee, payer=payer, epoch=word >> book.EPOCH_SHIFT, credited=credited,
        ceiling=(fresh >> book.CEILING_SHIFT) & book.MASK96
    )
    return credited
