"""Who made the receipt, what was asked and offered, and whether that is what it bills."""

from datetime import timedelta
from typing import Final

from evmesh.domain.errors import EvmeshError
from evmesh.domain.offer_times import END_GRACE, REQUEST_VALID, START_WITHIN
from evmesh.domain.station_code import code_of
from evmesh.domain.strict import unix_seconds
from evmesh.verify import paid_in, receipt_transfer
from evmesh.verify.case import Case
from evmesh.verify.report import Finding, NotChecked, require

NO_TRUST = NotChecked("no trust file was given")
NO_READINGS = NotChecked("the readings cannot be read")

CLOCKS_APART: Final = timedelta(minutes=10)
"""How far the clocks of station, operator and chain may be apart before their times contradict."""


def payee_signature(case: Case) -> Finding:
    """Check that the payee signed every byte."""
    receipt = case.receipt
    case.require_signer(receipt.payee, receipt.to_sign(), receipt.signature, "signature")
    return f"{receipt.payee} signed all of it"


def trusted_chain(case: Case) -> Finding:
    """Check chain and contracts against the trust file."""
    if case.trust is None:
        return NO_TRUST
    mine, theirs = case.trust.chain.to_json(), case.receipt.chain.to_json()
    for name, value in mine.items():
        require(
            theirs[name] == value,
            "trust.other_chain",
            f"the receipt says {theirs[name]}, the trust file {value}",
            f"chain.{name}",
        )
    paid_in.trusted(case.receipt.chain, case.trust.flex)
    return f"chain {case.receipt.chain.chain_id} and its contracts are the trusted ones"


def trusted_payee(case: Case) -> Finding:
    """Check the operator against the trust file."""
    if case.trust is None:
        return NO_TRUST
    payee = case.receipt.payee
    require(payee in case.trust.payees, "trust.unknown_payee", f"{payee} is not a trusted operator", "payee")
    return f"{payee} is a trusted operator"


def trusted_publisher(case: Case) -> Finding:
    """Check the notary's key against the trust file."""
    if case.trust is None:
        return NO_TRUST
    publisher = case.receipt.tree.publisher
    require(
        publisher in case.trust.publishers,
        "trust.unknown_publisher",
        f"{publisher} is not a trusted notary",
        "tree.publisher",
    )
    return f"{publisher} is a trusted notary"


def trusted_meter(case: Case) -> Finding:
    """Check the key of the readings against the one that the trust file gives for this meter."""
    if case.trust is None:
        return NO_TRUST
    meter, key = case.receipt.start.meter, case.receipt.meter_key.address
    require(
        case.trust.meters.get(meter) == key,
        "trust.unknown_meter",
        f"{key} is not the trusted key of meter {meter}",
        "meter_key.address",
    )
    return f"{key} is the trusted key of meter {meter}"


def charge_request(case: Case) -> Finding:
    """Check that the driver signed the request, or that it is the one that a transfer stands for."""
    receipt = case.receipt
    if receipt.payment is not None:
        return receipt_transfer.request(case, receipt.payment)
    case.require_party(receipt.request.payer, receipt.request, receipt.request_signature, "request_signature")
    return f"{receipt.request.payer} asked for {receipt.request.energy_wh} Wh"


def session_offer(case: Case) -> Finding:
    """Check that the operator signed the offer."""
    receipt = case.receipt
    case.require_party(receipt.payee, receipt.offer, receipt.offer_signature, "offer_signature")
    return f"{receipt.payee} offered {receipt.offer.price} micro-currency per kWh"


def offer_binding(case: Case) -> Finding:
    """Check that the offer answers this request, for this session, and that this is what is billed."""
    receipt, request, offer = case.receipt, case.receipt.request, case.receipt.offer
    for name, offered, billed in (
        ("session", offer.session, receipt.session.to_bytes32()),
        ("payer", offer.payer, request.payer),
        ("payee", offer.payee, receipt.payee),
        ("asset", offer.asset, request.asset),
        ("price", offer.price, receipt.price),
        ("request", offer.request, case.request_hash()),
    ):
        require(offered == billed, f"offer.other_{name}", f"the offer is for another {name}", f"offer.{name}")
    require(
        offer.budget <= request.max_cost,
        "offer.budget_above_request",
        f"the budget of {offer.budget} is above the {request.max_cost} that the driver allowed",
        "offer.budget",
    )
    return "offer, request and bill agree on session, payer, payee, asset, price and budget"


def station_code(case: Case) -> Finding:
    """Check that the code on the charge point is the one of the asset that was asked for."""
    station, request = case.receipt.station, case.receipt.request
    require(
        station.asset == request.asset,
        "station.other_asset",
        f"asked for asset {request.asset}",
        "station.asset",
    )
    try:
        code = code_of(station.asset)
    except EvmeshError as error:
        error.path = "station.asset"
        raise
    require(
        station.code == code,
        "station.other_code",
        f"asset {station.asset} has the code {code}",
        "station.code",
    )
    return f"{code} is the code of asset {station.asset}"


def deadlines(case: Case) -> Finding:
    """Check that the charge was within the offer's times, and these within what the driver signed."""
    offer, request = case.receipt.offer, case.receipt.request
    latest_start, latest_end = request.deadline + _s(START_WITHIN), request.departure + _s(END_GRACE)
    require(
        offer.start_by <= latest_start,
        "offer.starts_too_late",
        "the offer's last start is too long after the request's deadline",
        "offer.startBy",
    )
    require(
        offer.end_by <= latest_end,
        "offer.ends_too_late",
        "the offer's end is too long after the departure that the driver signed",
        "offer.endBy",
    )
    if case.start is None or case.stop is None:
        return NO_READINGS
    start, stop = unix_seconds(case.start.at), unix_seconds(case.stop.at)
    asked = request.deadline - _s(REQUEST_VALID) - _s(CLOCKS_APART)
    require(start >= asked, "offer.started_early", "it began before it can have been asked for", "start")
    require(start <= offer.start_by, "offer.started_late", "it began after the offer's last start", "start")
    require(stop <= offer.end_by, "offer.ended_late", "it ended after the offer's end", "stop")
    return "it began and ended within the offer's deadlines, and these within what the driver signed"


def _s(duration: timedelta) -> int:
    return int(duration.total_seconds())
