# pragma version 0.4.3
# pragma evm-version cancun
"""
@title ChargeTab
@license Apache-2.0
@notice Holds prepaid money for charging; what was charged is claimed with vouchers signed by the payer.
@dev A tab is one word per (payee, payer). A voucher says what the payer owes in total since the tab's
     epoch began, so the newest one replaces all before it, and claiming an old one again does nothing.
     Signatures are EIP-2098 (r, then s with the parity of y in the top bit), EIP-712 over
     ("ChargeTab", "1", chain, this contract).
@custom:units units of the token; times are seconds since 1970
@custom:holds deposits of payers and unpaid earnings of payees, in one immutable ERC-20; a token whose
     balances shrink by themselves leaves less than is owed and must not be used
@custom:stop no owner and no upgrade; a payer leaves with begin_exit and, one window later, finish_exit,
     which need nobody's help; payout may be called by anybody
"""
from ethereum.ercs import IERC20

MAX_ROWS: constant(uint256) = 200
MIN_WINDOW: constant(uint256) = 86_400

# one word per tab: spent 96 | ceiling 96 | exit time 32 | epoch 32, from the low bit up
MASK96: constant(uint256) = 2**96 - 1
MASK32: constant(uint256) = 2**32 - 1
CEILING_SHIFT: constant(uint256) = 96
EXIT_SHIFT: constant(uint256) = 192
EPOCH_SHIFT: constant(uint256) = 224

# why a row was skipped
MALFORMED: constant(uint256) = 1
NO_SIGNER: constant(uint256) = 2
OTHER_EPOCH: constant(uint256) = 3
STALE: constant(uint256) = 4
UNDERFUNDED: constant(uint256) = 5

# half the order of secp256k1: a higher s is the twin of a lower one
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
MASK255: constant(uint256) = 2**255 - 1

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
VOUCHER_TYPE: constant(bytes32) = keccak256("Voucher(address payee,uint32 epoch,uint96 cumulative)")
TOP_UP_TYPE: constant(bytes32) = keccak256(
    "TopUp(address payee,uint32 epoch,uint96 ceiling,uint256 deadline)"
)
EXIT_TYPE: constant(bytes32) = keccak256("Exit(address payee,uint32 epoch)")
CLOSE_TYPE: constant(bytes32) = keccak256(
    "Close(address payer,uint32 epoch,uint96 amount,uint256 deadline)"
)
CLAIM_TYPE: constant(bytes32) = keccak256("Claim(bytes32 rows,uint256 deadline)")

event Deposited:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    credited: uint256
    ceiling: uint256

event Claimed:
    payee: indexed(address)
    amount: uint256
    settled: uint256  # bit i is set where row i was settled

event RowSkipped:
    payee: indexed(address)
    payer: indexed(address)
    row: uint256
    reason: uint256

event Closed:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    amount: uint256
    returned: uint256

event ExitBegun:
    payee: indexed(address)
    payer: indexed(address)
    epoch: uint256
    exit_time: uint256

event PaidOut:
    payee: indexed(address)
    amount: uint256

TOKEN: immutable(IERC20)
WINDOW: immutable(uint256)
CHAIN: immutable(uint256)
DOMAIN: immutable(bytes32)

tabs: HashMap[address, HashMap[address, uint256]]  # payee, payer
# one word per payee: earned 128 | paid out 128, from the low bit up, both since the contract began
accounts: HashMap[address, uint256]


@deploy
def __init__(token: address, window: uint256):
    assert token.is_contract, "tab: no such token"
    assert window >= MIN_WINDOW and window <= MASK32 // 2, "tab: window out of range"
    TOKEN = IERC20(token)
    WINDOW = window
    CHAIN = chain.id
    DOMAIN = self._domain_of(chain.id)


@external
@view
def token() -> address:
    return TOKEN.address


@external
@view
def window() -> uint256:
    """
    @notice Give the seconds between begin_exit and finish_exit.
    """
    return WINDOW


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return self._domain()


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
    return word & (2**128 - 1), word >> 128


@external
@nonreentrant
def deposit(payee: address, amount: uint256) -> uint256:
    """
    @notice Raise the ceiling of the sender's tab by up to `amount`, from the sender's approved tokens.
    @return What was credited.
    """
    return self._pull(payee, msg.sender, self.tabs[payee][msg.sender], amount)


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
        TOKEN.address,
        abi_encode(
            payer, self, permit_amount, permit_deadline, permit_v, permit_r, permit_s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")
        ),
        revert_on_failure=False
    )
    return self._pull(payee, payer, word, ceiling - ((word >> CEILING_SHIFT) & MASK96))


@external
@nonreentrant
def claim(
    rows: DynArray[uint256[3], MAX_ROWS], payee: address = msg.sender, deadline: uint256 = 0,
    signature: uint256[2] = [0, 0]
) -> uint256:
    """
    @notice Settle vouchers for their payee; a bad row is skipped and does not stop the others.
    @param rows Voucher signature r and vs, then amount, cumulative and epoch in one word. The amount is
                the tab's new total, at most the cumulative that was signed.
    @param payee Who is paid; another sender than the payee needs its signed Claim.
    @return Bit i is set where row i was settled.
    """
    domain: bytes32 = self._domain()
    if msg.sender != payee:
        assert block.timestamp <= deadline, "tab: claim too late"
        self._check(
            payee,
            keccak256(abi_encode(CLAIM_TYPE, keccak256(abi_encode(rows)), deadline)),
            signature[0], signature[1], "tab: claim not signed by payee"
        )
    total: uint256 = 0
    settled: uint256 = 0
    row: uint256 = 0
    for words: uint256[3] in rows:
        # amount 96 | cumulative 96 | epoch 32 | zero 32, from the low bit up
        amount: uint256 = words[2] & MASK96
        cumulative: uint256 = (words[2] >> 96) & MASK96
        epoch: uint256 = words[2] >> 192
        s: uint256 = words[1] & MASK255
        reason: uint256 = MALFORMED
        payer: address = empty(address)
        if epoch <= MASK32 and amount <= cumulative and s <= HALF_ORDER:
            payer = ecrecover(
                keccak256(
                    concat(
                        b"\x19\x01", domain,
                        keccak256(abi_encode(VOUCHER_TYPE, payee, epoch, cumulative))
                    )
                ),
                27 + (words[1] >> 255), words[0], s
            )
            reason = NO_SIGNER
            if payer != empty(address):
                word: uint256 = self.tabs[payee][payer]
                spent: uint256 = word & MASK96
                if word >> EPOCH_SHIFT != epoch:
                    reason = OTHER_EPOCH
                elif amount <= spent:
                    reason = STALE
                elif amount > (word >> CEILING_SHIFT) & MASK96:
                    reason = UNDERFUNDED
                else:
                    self.tabs[payee][payer] = unsafe_add(word, unsafe_sub(amount, spent))
                    total = unsafe_add(total, unsafe_sub(amount, spent))
                    settled |= 1 << row
                    reason = 0
        if reason != 0:
            log RowSkipped(payee=payee, payer=payer, row=row, reason=reason)
        row = unsafe_add(row, 1)
    if total != 0:
        self._earn(payee, total)
    log Claimed(payee=payee, amount=total, settled=settled)
    return settled


@external
@nonreentrant
def payout(payee: address) -> uint256:
    """
    @notice Send a payee all that it earned; called by anybody.
    @return What was sent.
    """
    word: uint256 = self.accounts[payee]
    amount: uint256 = (word & (2**128 - 1)) - (word >> 128)
    assert amount != 0, "tab: nothing to pay out"
    self.accounts[payee] = word + (amount << 128)
    self._send(payee, amount)
    log PaidOut(payee=payee, amount=amount)
    return amount


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
    word: uint256 = self._word_of(payee, payer, epoch)
    spent: uint256 = word & MASK96
    ceiling: uint256 = (word >> CEILING_SHIFT) & MASK96
    assert ceiling != 0, "tab: nothing to close"
    assert amount >= spent, "tab: final total below spent"
    assert amount <= ceiling, "tab: final total above ceiling"
    self._check(
        payee, keccak256(abi_encode(CLOSE_TYPE, payer, epoch, amount, deadline)), r, vs,
        "tab: close not signed by payee"
    )
    if amount > spent:
        assert amount <= cumulative and cumulative <= MASK96, "tab: final total not agreed"
        self._check(
            payer, keccak256(abi_encode(VOUCHER_TYPE, payee, epoch, cumulative)), voucher_r, voucher_vs,
            "tab: final total not agreed"
        )
        self._earn(payee, amount - spent)
    return self._finish(payee, payer, epoch, amount, ceiling)


@external
@nonreentrant
def begin_exit(payee: address):
    """
    @notice Begin to leave a tab of the sender; nothing cancels it, and nothing more can be deposited.
    """
    word: uint256 = self.tabs[payee][msg.sender]
    self._begin_exit(payee, msg.sender, word)


@external
@nonreentrant
def begin_exit_signed(payee: address, payer: address, epoch: uint256, r: uint256, vs: uint256):
    """
    @notice Begin to leave a tab by the payer's Exit; sent by anybody.
    """
    word: uint256 = self._word_of(payee, payer, epoch)
    self._check(
        payer, keccak256(abi_encode(EXIT_TYPE, payee, epoch)), r, vs, "tab: exit not signed by payer"
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
    word: uint256 = self.tabs[payee][payer]
    exit_time: uint256 = (word >> EXIT_SHIFT) & MASK32
    assert exit_time != 0, "tab: no exit begun"
    assert block.timestamp >= exit_time, "tab: exit too early"
    return self._finish(
        payee, payer, word >> EPOCH_SHIFT, word & MASK96, (word >> CEILING_SHIFT) & MASK96
    )


@internal
@view
def _word_of(payee: address, payer: address, epoch: uint256) -> uint256:
    word: uint256 = self.tabs[payee][payer]
    assert word >> EPOCH_SHIFT == epoch, "tab: other epoch"
    return word


@internal
@view
def _check_top_up(
    payee: address, payer: address, epoch: uint256, ceiling: uint256, deadline: uint256, r: uint256, vs: uint256
) -> uint256:
    assert block.timestamp <= deadline, "tab: top-up too late"
    word: uint256 = self._word_of(payee, payer, epoch)
    assert ceiling <= MASK96, "tab: ceiling past 2^96"
    assert ceiling > (word >> CEILING_SHIFT) & MASK96, "tab: ceiling already reached"
    self._check(
        payer, keccak256(abi_encode(TOP_UP_TYPE, payee, epoch, ceiling, deadline)), r, vs,
        "tab: top-up not signed by payer"
    )
    return word


@internal
def _pull(payee: address, payer: address, word: uint256, amount: uint256) -> uint256:
    assert payee != empty(address), "tab: no payee"
    assert (word >> EXIT_SHIFT) & MASK32 == 0, "tab: exit begun"
    ceiling: uint256 = (word >> CEILING_SHIFT) & MASK96
    assert amount <= MASK96 - ceiling, "tab: ceiling past 2^96"
    before: uint256 = staticcall TOKEN.balanceOf(self)
    assert extcall TOKEN.transferFrom(payer, self, amount, default_return_value=True), "tab: token refused"
    after: uint256 = staticcall TOKEN.balanceOf(self)
    assert after > before, "tab: nothing arrived"
    credited: uint256 = min(amount, after - before)
    self.tabs[payee][payer] = word + (credited << CEILING_SHIFT)
    log Deposited(
        payee=payee, payer=payer, epoch=word >> EPOCH_SHIFT, credited=credited, ceiling=ceiling + credited
    )
    return credited


@internal
def _earn(payee: address, amount: uint256):
    word: uint256 = self.accounts[payee]
    assert (word & (2**128 - 1)) + amount < 2**128, "tab: earnings past 2^128"
    self.accounts[payee] = word + amount


@internal
def _begin_exit(payee: address, payer: address, word: uint256):
    assert (word >> EXIT_SHIFT) & MASK32 == 0, "tab: exit begun"
    assert (word >> CEILING_SHIFT) & MASK96 != 0, "tab: nothing to leave"
    exit_time: uint256 = block.timestamp + WINDOW
    assert exit_time <= MASK32, "tab: time past 2^32"
    self.tabs[payee][payer] = word | (exit_time << EXIT_SHIFT)
    log ExitBegun(payee=payee, payer=payer, epoch=word >> EPOCH_SHIFT, exit_time=exit_time)


@internal
def _finish(payee: address, payer: address, epoch: uint256, amount: uint256, ceiling: uint256) -> uint256:
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


@internal
@view
def _check(signer: address, struct_hash: bytes32, r: uint256, vs: uint256, why: String[40]):
    s: uint256 = vs & MASK255
    assert s <= HALF_ORDER, "tab: malleable signature"
    digest: bytes32 = keccak256(concat(b"\x19\x01", self._domain(), struct_hash))
    recovered: address = ecrecover(digest, 27 + (vs >> 255), r, s)
    assert recovered != empty(address) and recovered == signer, why


@internal
@view
def _domain() -> bytes32:
    if chain.id == CHAIN:
        return DOMAIN
    return self._domain_of(chain.id)


@internal
@view
def _domain_of(chain_id: uint256) -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, keccak256("ChargeTab"), keccak256("1"), chain_id, self))
