# pragma version 0.4.3
# pragma evm-version cancun
"""
@title ChargeTab
@license Apache-2.0
@notice Holds prepaid money for charging; what was charged is claimed with vouchers signed by the payer.
@dev A tab is one word per (payee, payer). A voucher says what the payer owes in total since the tab's
     epoch began, so the newest one replaces all before it, and claiming an old one again does nothing.
     One noun a file: lib/tab_book (words and money), lib/tab_signatures, lib/tab_deposits, lib/tab_claims,
     lib/tab_exits.
@custom:units units of the token; times are seconds since 1970
@custom:holds deposits of payers and unpaid earnings of payees, in one immutable ERC-20; a token whose
     balances shrink by themselves leaves less than is owed and must not be used
@custom:stop no owner and no upgrade; a payer leaves with begin_exit and, one window later, finish_exit,
     which need nobody's help; payout may be called by anybody
"""
from lib import tab_book as book
from lib import tab_claims as claims
from lib import tab_deposits as deposits
from lib import tab_exits as exits
from lib import tab_signatures as signatures

initializes: book
initializes: signatures
initializes: deposits[book := book, signatures := signatures]
initializes: claims[book := book, signatures := signatures]
initializes: exits[book := book, signatures := signatures]

exports: (book.token, book.tab, book.account)
exports: signatures.DOMAIN_SEPARATOR
exports: (deposits.deposit, deposits.deposit_with_permit, deposits.deposit_with_authorization)
exports: (claims.claim, claims.claim_refill, claims.payout)
exports: (exits.window, exits.close, exits.begin_exit, exits.begin_exit_signed, exits.finish_exit)


@deploy
def __init__(token: address, window: uint256):
    book.__init__(token)
    signatures.__init__()
    exits.__init__(window)
