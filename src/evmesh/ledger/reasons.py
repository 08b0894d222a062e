"""What contracts and nodes refuse, in words for people. The reasons are those of our own contracts."""

import re
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from evmesh.domain.errors import Refused

_SELECTOR: Final = "0x08c379a0"
"""Of Error(string), how a contract gives its reason."""

_SIGN_AGAIN: Final = "read the tab again and sign anew"
_WAIT: Final = "wait for the end of the window; `begin_exit` cannot be hurried"

REASONS: Final[dict[str, tuple[str, str]]] = {
    "tab: no such token": ("the token is not a contract", "name the address of an ERC-20"),
    "tab: window out of range": ("the exit window is out of range", "choose 86400 seconds or more"),
    "tab: claim too late": ("the operator's permission to claim has expired", "sign a new one"),
    "tab: claim not signed by payee": ("the payee did not sign this claim", "claim as the payee"),
    "tab: nothing to pay out": ("nothing was earned since the last payout", ""),
    "tab: close too late": ("the operator's offer to close the tab has expired", "ask for a new one"),
    "tab: nothing to close": ("there is no money in this tab", ""),
    "tab: final total below spent": ("more than this was claimed already", _SIGN_AGAIN),
    "tab: final total above ceiling": ("the tab does not hold that much", _SIGN_AGAIN),
    "tab: close not signed by payee": ("the operator did not sign this end of the tab", _SIGN_AGAIN),
    "tab: final total not agreed": (
        "the driver did not agree to this final total",
        "attach the driver's voucher of at least the final total",
    ),
    "tab: exit not signed by payer": ("the driver did not sign this exit", _SIGN_AGAIN),
    "tab: no exit begun": ("nobody began to leave this tab", "send `begin_exit` first"),
    "tab: exit too early": ("the window in which the operator may claim is still open", _WAIT),
    "tab: other epoch": ("the tab was closed since this was signed", _SIGN_AGAIN),
    "tab: top-up too late": ("the deposit was signed too long ago", "sign it anew"),
    "tab: ceiling past 2^96": ("that is more than a tab can hold", "deposit less"),
    "tab: ceiling already reached": ("the tab holds that much already", ""),
    "tab: top-up not signed by payer": ("the driver did not sign this deposit", _SIGN_AGAIN),
    "tab: no payee": ("a tab needs somebody to be paid", "name the payee"),
    "tab: exit begun": ("the driver is leaving this tab", _WAIT),
    "tab: nothing arrived": ("the token moved nothing", "deposit more than nothing, in a token that moves"),
    "tab: token refused": ("the token refused the transfer", "ask the token's issuer"),
    "tab: earnings past 2^128": ("the payee's account is full", ""),
    "tab: nothing to leave": ("there is no money in this tab", ""),
    "tab: time past 2^32": ("the clock of the chain is past the year 2106", ""),
    "tab: out of epochs": ("this tab was closed four thousand million times", "use another account"),
    "tab: malleable signature": ("the signature is not in its one proper form", "sign with a low s"),
    "registry: owner is the sender": ("the owner is whoever sends the registration", "leave the owner empty"),
    "registry: no kind": ("the asset has no kind", "say what it is"),
    "registry: number not taken": ("no asset has the number to register behind", "read the newest number"),
    "registry: too far behind": ("many assets were registered meanwhile", "read the newest number"),
    "registry: kind is fixed": ("an asset's kind never changes", "register another asset"),
    "registry: price too high": ("the price does not fit into 32 bits", "name a lower price"),
    "registry: no such lifecycle": ("there is no such lifecycle", "use 0 to 3"),
    "registry: no such asset": ("no asset has this number", "check the station code"),
    "registry: not the owner": ("the asset is somebody else's", "send with the owner's key"),
    "registry: no such latitude": ("the latitude is not on earth", "use -90 to 90 degrees"),
    "registry: no such longitude": ("the longitude is not on earth", "use -180 to 180 degrees"),
    "registry: malformed place": ("the place word has bits that mean nothing", ""),
    "notary: must grow": ("a head of this size or a larger one is anchored already", ""),
    "notary: size too large": ("a tree has fewer than 2^64 leaves", ""),
    "notary: no root": ("a tree head needs a root", ""),
    "status: no asset": ("a record names no asset", "put the asset's number into it"),
    "status: empty map": ("a map has one word at least", "send the step and the states"),
    "status: step went back": ("a later step is published already", "publish the step of now"),
    "status: too many words": ("a map has 128 words at most", "read fewer"),
    "flex: no issuer": ("FLEX is somebody's promise", "name the issuer"),
    "flex: not the issuer": ("only the issuer moves the cap", "send with the issuer's key"),
    "board: empty message": ("the message is empty", "withdraw the one before instead"),
    "board: nothing posted": ("nothing stands under this tag", ""),
    "token: not the minter": ("only the minter makes tokens", ""),
    "token: not the receiver": ("only the receiver may send this authorization", "send with its key"),
    "token: no receiver": ("tokens need a receiver", "name an account"),
    "token: allowance too small": (
        "the driver's permission to take the tokens is missing or too small",
        "sign a permit for the amount",
    ),
    "token: balance too small": ("the wallet does not hold that much", "get tokens, or deposit less"),
    "token: permit too late": ("the permit was signed too long ago", "sign it anew"),
    "token: authorization too early": ("the authorization does not hold yet", "send it later"),
    "token: authorization too late": ("the authorization has expired", "sign it anew"),
    "token: authorization used": ("the authorization was used or cancelled", "sign another one"),
    "token: malleable signature": ("the signature is not in its one proper form", "sign with a low s"),
    "token: wrong signature": ("the account did not sign this", "sign with the account's own key"),
}
"""Contract reason → what happened, and what to do."""


class FailedOnChain(Refused):
    """The contract said no to a transaction that is in a block: its gas is spent."""


def refused_by_contract(reason: str) -> Refused:
    """Give the error of a contract's reason; its code is `tab.other_epoch` for `tab: other epoch`."""
    if reason not in REASONS:
        return Refused("chain.reverted", f"the contract refused: {reason[:200] or 'without a reason'}")
    what, do = REASONS[reason]
    return Refused(code_of_reason(reason), what, do=do)


def code_of_reason(reason: str) -> str:
    """Give the stable error code of a reason."""
    contract, _, why = reason.partition(": ")
    return f"{contract}.{re.sub(r'[^a-z0-9]+', '_', why).strip('_')}"


def reason_of(data: object) -> str:
    """Read the reason from the data of a revert; empty where it has none."""
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith(_SELECTOR):
        return ""
    try:
        [reason] = decode(["string"], bytes.fromhex(data[len(_SELECTOR) :]))
    except (DecodingError, ValueError):
        return ""
    return str(reason)
