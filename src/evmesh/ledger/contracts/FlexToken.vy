# pragma version 0.4.3
# pragma evm-version cancun
"""
@title FlexToken
@license Apache-2.0
@notice One issuer's reward for flexibility: it pays for charging 1:1 at that issuer, say in a ChargeTab of its own.
@dev An issuer signs how much a holder has been rewarded in total, and for which document; anybody has the
     difference to what was minted before made, so an old voucher makes nothing and a holder needs no gas.
     ERC-20 with permit (EIP-2612) and authorizations (EIP-3009). Vouchers are signed like these, under the
     token's own domain, so that none of another issuer's is good here.
@custom:units one unit is one micro-currency at the issuer; 6 decimals
@custom:holds no funds; a unit is the issuer's promise, and the cap bounds how much it has promised
@custom:stop the issuer may stop making units by lowering the cap, down to nothing; it can neither take, freeze
     nor devalue what is there; no upgrade
"""
from ethereum.ercs import IERC20

from lib import signed_token as base

implements: IERC20
initializes: base
exports: base.__interface__

MAX_ROWS: constant(uint256) = 200
MASK96: constant(uint256) = 2**96 - 1
MASK160: constant(uint256) = 2**160 - 1
MASK255: constant(uint256) = 2**255 - 1

FLEX_VOUCHER_TYPE: constant(bytes32) = keccak256(
    "FlexVoucher(address holder,uint96 cumulative,bytes32 certificate)"
)

# why a row made nothing
MALFORMED: constant(uint256) = 1
NOT_THE_ISSUER: constant(uint256) = 2
STALE: constant(uint256) = 3
CAP_REACHED: constant(uint256) = 4

event Minted:
    holder: indexed(address)
    certificate: indexed(bytes32)
    amount: uint256
    total: uint256

event RowSkipped:
    holder: indexed(address)
    row: uint256
    reason: uint256

event CapSet:
    cap: uint256

ISSUER: immutable(address)

cap: public(uint256)
# all that was ever made for a holder, which no burning makes less
minted: public(HashMap[address, uint256])


@deploy
def __init__(issuer: address, cap: uint256):
    assert issuer != empty(address), "flex: no issuer"
    base.__init__("Flexibility", "FLEX")
    ISSUER = issuer
    self.cap = cap
    log CapSet(cap=cap)


@external
@view
def issuer() -> address:
    return ISSUER


@external
def set_cap(cap: uint256):
    """
    @notice Bound the units in circulation, by the issuer. Below what is there already, nothing more is made.
    """
    assert msg.sender == ISSUER, "flex: not the issuer"
    self.cap = cap
    log CapSet(cap=cap)


@external
def mint(rows: DynArray[uint256[4], MAX_ROWS]) -> uint256:
    """
    @notice Make what vouchers of the issuer say beyond what was made before; sent by anybody. A bad row is
            skipped and does not stop the others; what does not fit under the cap stays due.
    @param rows Signature r and vs of the issuer's FlexVoucher, holder and cumulative in one word, certificate:
                the SHA-256 of the reward that explains the newest part.
    @return Bit i is set where row i made something.
    """
    domain: bytes32 = base._domain()
    made: uint256 = 0
    row: uint256 = 0
    for words: uint256[4] in rows:
        # holder 160 | cumulative 96, from the low bit up
        holder: address = convert(words[2] & MASK160, address)
        cumulative: uint256 = words[2] >> 160
        s: uint256 = words[1] & MASK255
        reason: uint256 = MALFORMED
        if holder != empty(address) and s <= base.HALF_ORDER:
            signer: address = ecrecover(
                keccak256(
                    concat(
                        0x1901, domain,
                        keccak256(abi_encode(FLEX_VOUCHER_TYPE, holder, cumulative, words[3]))
                    )
                ),
                27 + (words[1] >> 255), words[0], s
            )
            reason = NOT_THE_ISSUER
            if signer == ISSUER:
                before: uint256 = self.minted[holder]
                if cumulative <= before:
                    reason = STALE
                elif base.totalSupply >= self.cap:
                    reason = CAP_REACHED
                else:
                    amount: uint256 = min(cumulative - before, self.cap - base.totalSupply)
                    self.minted[holder] = before + amount
                    base._mint(holder, amount)
                    log Minted(
                        holder=holder, certificate=convert(words[3], bytes32), amount=amount,
                        total=before + amount
                    )
                    made |= 1 << row
                    reason = 0
        if reason != 0:
            log RowSkipped(holder=holder, row=row, reason=reason)
        row += 1
    return made


@external
def burn(amount: uint256):
    """
    @notice Destroy units of the sender. An issuer that was paid with its own promise frees its cap by this.
    """
    base._burn(msg.sender, amount)
