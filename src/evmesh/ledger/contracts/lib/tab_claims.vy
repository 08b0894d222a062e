# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Claims on ChargeTab
@license Apache-2.0
@notice Payees settle vouchers and refills in batches, and are paid out.
@dev Rows are untyped words: a value out of its range is a skipped row and not a batch that reverts.
"""
from lib import tab_book as book
from lib import tab_signatures as signatures

uses: book
uses: signatures

MAX_ROWS: constant(uint256) = 200
# Enough for a token behind a proxy with checks of its own, and all that a bad one can burn. Who submits
# cannot starve a pull: the 1/64 that would be left over does not pay for the end of the row.
PULL_GAS: constant(uint256) = 100_000

# why a row's debt was not settled
MALFORMED: constant(uint256) = 1
NO_SIGNER: constant(uint256) = 2
OTHER_EPOCH: constant(uint256) = 3
STALE: constant(uint256) = 4
UNDERFUNDED: constant(uint256) = 5
# why nothing was pulled
EXIT_BEGUN: constant(uint256) = 6
TOO_LATE: constant(uint256) = 7
TOKEN_REFUSED: constant(uint256) = 8

event Claimed:
    payee: indexed(address)
    amount: uint256
    settled: uint256  # bit i is set where row i was settled

event RowSkipped:
    payee: indexed(address)
    payer: indexed(address)
    row: uint256
    reason: uint256

event Refilled:
    payee: indexed(address)
    credited: uint256
    pulled: uint256  # bit i is set where row i raised its ceiling

event PullSkipped:
    payee: indexed(address)
    payer: indexed(address)
    row: uint256
    reason: uint256

event PaidOut:
    payee: indexed(address)
    amount: uint256


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
    domain: bytes32 = signatures._domain()
    if msg.sender != payee:
        signatures._check_claim(payee, keccak256(abi_encode(rows)), deadline, signature)
    total: uint256 = 0
    settled: uint256 = 0
    row: uint256 = 0
    for words: uint256[3] in rows:
        # amount 96 | cumulative 96 | epoch 32 | zero 32, from the low bit up
        amount: uint256 = words[2] & book.MASK96
        cumulative: uint256 = (words[2] >> 96) & book.MASK96
        epoch: uint256 = words[2] >> 192
        s: uint256 = words[1] & signatures.MASK255
        reason: uint256 = MALFORMED
        payer: address = empty(address)
        if epoch <= book.MASK32 and amount <= cumulative and s <= signatures.HALF_ORDER:
            payer = ecrecover(
                keccak256(
                    concat(
                        0x1901, domain,
                        keccak256(abi_encode(signatures.VOUCHER_TYPE, payee, epoch, cumulative))
                    )
                ),
                27 + (words[1] >> 255), words[0], s
            )
            reason = NO_SIGNER
            if payer != empty(address):
                word: uint256 = book.tabs[payee][payer]
                spent: uint256 = word & book.MASK96
                if word >> book.EPOCH_SHIFT != epoch:
                    reason = OTHER_EPOCH
                elif amount <= spent:
                    reason = STALE
                elif amount > (word >> book.CEILING_SHIFT) & book.MASK96:
                    reason = UNDERFUNDED
                else:
                    book.tabs[payee][payer] = unsafe_add(word, unsafe_sub(amount, spent))
                    total = unsafe_add(total, unsafe_sub(amount, spent))
                    settled |= 1 << row
                    reason = 0
        if reason != 0:
            log RowSkipped(payee=payee, payer=payer, row=row, reason=reason)
        row = unsafe_add(row, 1)
    if total != 0:
        book._earn(payee, total)
    log Claimed(payee=payee, amount=total, settled=settled)
    return settled


@external
@nonreentrant
def claim_refill(
    rows: DynArray[uint256[4], MAX_ROWS], payee: address = msg.sender, deadline: uint256 = 0,
    signature: uint256[2] = [0, 0]
) -> (uint256, uint256):
    """
    @notice Settle refills for their payee, and pull each tab up to the ceiling that was signed.
    @dev A pull that fails stops nothing: its gas is capped, and what the tab holds is settled all the same.
         A pull that succeeds counts for its own row's debt. A row that owes nothing more may still pull.
    @param rows As in `claim`, signed as a Refill; then ceiling and deadline of the pull in one word.
    @param payee Who is paid; another sender than the payee needs its signed Claim.
    @return Bit i is set where row i was settled, and where row i raised its ceiling.
    """
    domain: bytes32 = signatures._domain()
    if msg.sender != payee:
        signatures._check_claim(payee, keccak256(abi_encode(rows)), deadline, signature)
    total: uint256 = 0
    settled: uint256 = 0
    credited: uint256 = 0
    pulled: uint256 = 0
    row: uint256 = 0
    held: uint256 = staticcall book.TOKEN.balanceOf(self)
    for words: uint256[4] in rows:
        amount: uint256 = words[2] & book.MASK96
        cumulative: uint256 = (words[2] >> 96) & book.MASK96
        epoch: uint256 = words[2] >> 192
        # ceiling 96 | deadline 32 | zero 128, from the low bit up
        pull_to: uint256 = words[3] & book.MASK96
        pull_by: uint256 = words[3] >> 96
        s: uint256 = words[1] & signatures.MASK255
        reason: uint256 = MALFORMED
        payer: address = empty(address)
        if (
            epoch <= book.MASK32 and pull_by <= book.MASK32 and amount <= cumulative
            and s <= signatures.HALF_ORDER
        ):
            payer = ecrecover(
                keccak256(
                    concat(
                        0x1901, domain,
                        keccak256(
                            abi_encode(signatures.REFILL_TYPE, payee, epoch, cumulative, pull_to, pull_by)
                        )
                    )
                ),
                27 + (words[1] >> 255), words[0], s
            )
            reason = NO_SIGNER
            if payer != empty(address):
                word: uint256 = book.tabs[payee][payer]
                reason = OTHER_EPOCH
                if word >> book.EPOCH_SHIFT == epoch:
                    fresh: uint256 = word
                    ceiling: uint256 = (word >> book.CEILING_SHIFT) & book.MASK96
                    if pull_to > ceiling:
                        why: uint256 = 0
                        if (word >> book.EXIT_SHIFT) & book.MASK32 != 0:
                            why = EXIT_BEGUN
                        elif block.timestamp > pull_by:
                            why = TOO_LATE
                        else:
                            # what arrives is what counts: tokens differ in what they return
                            moved: bool = raw_call(
                                book.TOKEN.address,
                                abi_encode(
                                    payer, self, unsafe_sub(pull_to, ceiling),
                                    method_id=method_id("transferFrom(address,address,uint256)")
                                ),
                                gas=PULL_GAS,
                                revert_on_failure=False
                            )
                            now_held: uint256 = staticcall book.TOKEN.balanceOf(self)
                            if now_held > held:
                                got: uint256 = min(
                                    unsafe_sub(pull_to, ceiling), unsafe_sub(now_held, held)
                                )
                                ceiling = unsafe_add(ceiling, got)
                                fresh = unsafe_add(fresh, got << book.CEILING_SHIFT)
                                credited = unsafe_add(credited, got)
                                pulled |= 1 << row
                            else:
                                why = TOKEN_REFUSED
                            held = now_held
                        if why != 0:
                            log PullSkipped(payee=payee, payer=payer, row=row, reason=why)
                    spent: uint256 = word & book.MASK96
                    if amount <= spent:
                        reason = STALE
                    elif amount > ceiling:
                        reason = UNDERFUNDED
                    else:
                        fresh = unsafe_add(fresh, unsafe_sub(amount, spent))
                        total = unsafe_add(total, unsafe_sub(amount, spent))
                        settled |= 1 << row
                        reason = 0
                    if fresh != word:
                        book.tabs[payee][payer] = fresh
        if reason != 0:
            log RowSkipped(payee=payee, payer=payer, row=row, reason=reason)
        row = unsafe_add(row, 1)
    if total != 0:
        book._earn(payee, total)
    log Claimed(payee=payee, amount=total, settled=settled)
    log Refilled(payee=payee, credited=credited, pulled=pulled)
    return settled, pulled


@external
@nonreentrant
def payout(payee: address) -> uint256:
    """
    @notice Send a payee all that it earned; called by anybody.
    @return What was sent.
    """
    word: uint256 = book.accounts[payee]
    amount: uint256 = (word & book.MASK128) - (word >> 128)
    assert amount != 0, "tab: nothing to pay out"
    book.accounts[payee] = word + (amount << 128)
    book._send(payee, amount)
    log PaidOut(payee=payee, amount=amount)
    return amount
