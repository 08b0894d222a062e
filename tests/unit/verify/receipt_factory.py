"""Real receipts from real keys: a charge of 8 kWh, and ways to change anything and sign it again."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from evmesh.domain.asset_record import AssetRecord
from evmesh.domain.canonical import canonical_json
from evmesh.domain.ids import EvseId, SessionId, StationId
from evmesh.domain.merkle import MerkleLog
from evmesh.domain.money import Price
from evmesh.domain.readings import METER_STREAM, Reading, ReadingContext, meter_leaf_hash
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import (
    ChainRef,
    MeterEntry,
    MeterKey,
    PlanRow,
    SignedVoucher,
    StationRef,
    TreeHead,
    pseudonym_of,
)
from evmesh.domain.signed_types import ChargeRequest, SessionOffer, Voucher
from evmesh.domain.station_code import code_of
from evmesh.domain.strict import unix_seconds
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import TypedStruct, digest, hash_struct
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.verify.case import PlanFiles
from evmesh.verify.chain_facts import Anchor, AssetEntry, ChainFacts, TabMove
from tests.unit.verify.keys import CurveSignatures, Key, keccak256

SIGNATURES = CurveSignatures()
DRIVER, OPERATOR, GATEWAY, NOTARY, THIEF = (
    Key(role) for role in ("driver", "operator", "gateway", "notary", "thief")
)
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
STOP = START + timedelta(minutes=45)
DEPARTURE = START + timedelta(hours=1)
ASSET = 17
EVSE = EvseId.parse("DE*ABC*E17*1")
STATION = StationId.parse("cabinet-3.17")
METER = EVSE.text
RATING = W(22_000)
TAB, REGISTRY, NOTARY_CONTRACT, TOKEN = (
    Key(name).address for name in ("tab", "registry", "notary contract", "token")
)
CHAIN = ChainRef(31_337, TAB, REGISTRY, NOTARY_CONTRACT, TOKEN)
SESSION = SessionId.make(1_772_352_000_000, sha256(b"session").digest())
CURVE = ((0, Wh(41_200)), (900, Wh(42_200)), (1_800, Wh(47_700)), (2_700, Wh(49_200)))
PRICE = Price(400_000)
BASE, BUDGET, EPOCH = 1_250_000, 5_000_000, 2
LEAVES = 13
Changes = Mapping[str, Any]


def sign(key: Key, value: TypedStruct, chain: ChainRef = CHAIN) -> bytes:
    return key.sign(digest(chain.domain, value, keccak256))


def sign_money(key: Key, value: TypedStruct, chain: ChainRef) -> bytes:
    """Sign in the domain of what a charge is paid in."""
    return key.sign(digest(chain.money, value, keccak256))


def resign(receipt: Receipt, key: Key = OPERATOR, **changes: Any) -> Receipt:
    """Change members of a receipt and have it signed again."""
    changed = replace(receipt, **changes)
    return changed.signed(sign(key, changed.to_sign(), changed.chain))


def make_request(**changes: Any) -> ChargeRequest:
    request = ChargeRequest(
        payer=DRIVER.address,
        asset=ASSET,
        departure=unix_seconds(DEPARTURE),
        energy_wh=8_000,
        flexible=True,
        max_cost=6_000_000,
        nonce=sha256(b"nonce").digest(),
        deadline=unix_seconds(START),
    )
    return replace(request, **changes)


def make_reading(context: ReadingContext, key: Key = GATEWAY, /, **changes: Any) -> Reading:
    starts = context is ReadingContext.START
    reading = Reading(
        meter=METER,
        seq=7 if starts else 11,
        at=START if starts else STOP,
        register=CURVE[0][1] if starts else CURVE[-1][1],
        context=context,
        session=SESSION,
        signer=GATEWAY.address,
    )
    changed = replace(reading, **changes)
    return changed.signed(sign(key, changed.to_sign()))


def make_group(pseudonym: str) -> PlanFiles:
    """A group of two cars behind 24 kW for which an optimal schedule is known; ours is one of them."""
    prices = (300_000, 200_000, 250_000, 400_000)
    problem = canonical_json(
        {
            "format": "evmesh.problem/1",
            "start": "2026-03-01T08:00:00Z",
            "step_s": 900,
            "steps": 4,
            "supply": [{"step": step, "cap_wh": 6_000, "price": price} for step, price in enumerate(prices)],
            "requests": [
                {"id": pseudonym, "arrival": 0, "departure": 4, "energy_wh": 8_000, "max_wh": 5_500},
                {"id": "0123456789abcdef", "arrival": 1, "departure": 3, "energy_wh": 5_000, "max_wh": 5_000},
            ],
        }
    )
    rows = [
        {"id": pseudonym, "first": 0, "wh": [1_000, 5_500, 1_500]},
        {"id": "0123456789abcdef", "first": 1, "wh": [500, 4_500]},
    ]
    schedule = canonical_json(
        {
            "format": "evmesh.schedule/1",
            "problem_sha256": sha256(problem).hexdigest(),
            "status": "optimal",
            "rows": rows,
            "step_price": [300_000, 300_000, 300_000, 400_000],
            "objective": str(1_000 * 300_000 + 6_000 * 200_000 + 6_000 * 250_000),
        }
    )
    return PlanFiles(problem, schedule)


def make_plan(request: ChargeRequest) -> tuple[PlanRow, PlanFiles]:
    pseudonym = pseudonym_of(hash_struct(request, keccak256))
    files = make_group(pseudonym)
    row = PlanRow(
        problem_sha256=sha256(files.problem).digest(),
        schedule_sha256=sha256(files.schedule).digest(),
        start=START,
        step_s=900,
        id=pseudonym,
        first=0,
        wh=(1_000, 5_500, 1_500),
        step_price=(300_000, 300_000, 300_000),
    )
    return row, files


def entry_of(reading: Reading, index: int, /, **changes: Any) -> MeterEntry:
    entry = MeterEntry(
        meter=reading.meter,
        seq=reading.seq,
        salt=sha256(b"salt %d" % index).digest(),
        prev_hash=sha256(b"before %d" % index).digest(),
        payload=reading.encode(),
        index=index,
        proof=(),
    )
    return replace(entry, **changes)


def filed(start: MeterEntry, stop: MeterEntry, size: int = LEAVES) -> dict[str, Any]:
    """File two leaves in a log and prove them: the receipt's `start`, `stop` and `tree`."""
    leaves = [sha256(b"leaf %d" % number).digest() for number in range(size)]
    for entry in (start, stop):
        leaves[entry.index] = leaf_of(entry)
    log = MerkleLog(leaves)
    proven = [replace(entry, proof=tuple(log.inclusion_proof(entry.index))) for entry in (start, stop)]
    tree = TreeHead(NOTARY.address, METER_STREAM, size, log.root())
    return {"start": proven[0], "stop": proven[1], "tree": tree}


def leaf_of(entry: MeterEntry) -> bytes:
    return meter_leaf_hash(entry.meter, entry.seq, entry.salt, entry.prev_hash, entry.payload)


def make_voucher(cumulative: int, epoch: int = EPOCH, key: Key = DRIVER) -> SignedVoucher:
    voucher = Voucher(OPERATOR.address, epoch, cumulative)
    return SignedVoucher(epoch, cumulative, sign(key, voucher))


def make_receipt(
    *,
    request: ChargeRequest | None = None,
    offer: Changes | None = None,
    start: Reading | None = None,
    stop: Reading | None = None,
    start_leaf: Changes | None = None,
    stop_leaf: Changes | None = None,
    **changes: Any,
) -> Receipt:
    """A true receipt, but for what is asked to be otherwise; everything is signed as it then is."""
    request = request or make_request()
    offered = replace(
        SessionOffer(
            session=SESSION.to_bytes32(),
            payer=DRIVER.address,
            payee=OPERATOR.address,
            epoch=EPOCH,
            base=BASE,
            asset=ASSET,
            price=PRICE,
            budget=BUDGET,
            start_by=unix_seconds(START) + 600,
            end_by=unix_seconds(DEPARTURE),
            request=hash_struct(request, keccak256),
        ),
        **(offer or {}),
    )
    first = start or make_reading(ReadingContext.START)
    last = stop or make_reading(ReadingContext.STOP)
    receipt = Receipt(
        session=SESSION,
        chain=CHAIN,
        station=StationRef(ASSET, code_of(ASSET), EVSE, STATION),
        request=request,
        request_signature=sign(DRIVER, request),
        offer=offered,
        offer_signature=sign(OPERATOR, offered),
        **filed(entry_of(first, 4, **(start_leaf or {})), entry_of(last, 11, **(stop_leaf or {}))),
        curve=CURVE,
        energy=Wh(8_000),
        price=PRICE,
        cost=3_200_000,
        due=3_200_000,
        vouchers=(make_voucher(BASE + 1_000_000), make_voucher(BASE + BUDGET)),
        plan=make_plan(request)[0],
        payee=OPERATOR.address,
        meter_key=MeterKey(GATEWAY.address, "gateway"),
    )
    return resign(receipt, **changes)


def make_trust() -> Trust:
    return Trust(
        CHAIN,
        payees=frozenset({OPERATOR.address}),
        publishers=frozenset({NOTARY.address}),
        meters={METER: GATEWAY.address},
    )


def make_record(**changes: Any) -> bytes:
    record = AssetRecord(
        charge_point=STATION,
        connector=1,
        evse_id=EVSE,
        phases=3,
        max_current=Milliamp(32_000),
        rating=RATING,
        meter=METER,
        meter_key=GATEWAY.address,
    )
    return replace(record, **changes).encode()


def make_entry(**changes: Any) -> AssetEntry:
    """The asset as the registry has it; a record that is changed is registered as it then is."""
    record: bytes | None = changes.pop("record", make_record())
    entry = AssetEntry(
        owner=OPERATOR.address,
        price=PRICE,
        rating=RATING,
        record_hash=sha256(record or b"").digest(),
        record=record,
    )
    return replace(entry, **changes)


def make_move(total: int, cumulative: int | None = BASE + BUDGET, **changes: Any) -> TabMove:
    return replace(TabMove(total, cumulative, BASE, transaction="0x" + 64 * "1"), **changes)


def make_chain_facts(receipt: Receipt, **changes: Any) -> ChainFacts:
    facts = ChainFacts(
        chain_id=CHAIN.chain_id,
        contracts_answer=True,
        newest_size=receipt.tree.size,
        newest=Anchor(receipt.tree.root, unix_seconds(STOP) + 5),
        asset=make_entry(),
        spent=BASE + receipt.due,
        epoch=EPOCH,
        moves=(make_move(BASE + receipt.due),),
    )
    return replace(facts, **changes)


def make_receipt_on(chain: ChainRef, asset: int, base: int, epoch: int) -> Receipt:
    """The same charge on another chain, at another asset, from another state of the tab."""
    request = make_request(asset=asset)
    start, stop = (
        unsigned.signed(sign(GATEWAY, unsigned.to_sign(), chain))
        for unsigned in (make_reading(ReadingContext.START), make_reading(ReadingContext.STOP))
    )
    template = make_receipt(request=request, start=start, stop=stop)
    offer = replace(template.offer, asset=asset, base=base, epoch=epoch)
    voucher = Voucher(OPERATOR.address, epoch, base + BUDGET)
    return resign(
        template,
        chain=chain,
        station=replace(template.station, asset=asset, code=code_of(asset)),
        request_signature=sign_money(DRIVER, request, chain),
        offer=offer,
        offer_signature=sign_money(OPERATOR, offer, chain),
        vouchers=(SignedVoucher(epoch, base + BUDGET, sign_money(DRIVER, voucher, chain)),),
    )


def make_voucher_on(chain: ChainRef, cumulative: int, key: Key = DRIVER, epoch: int = 0) -> tuple[int, int]:
    """Sign a voucher for the operator on a chain; give r and vs."""
    signature = sign_money(key, Voucher(OPERATOR.address, epoch, cumulative), chain)
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
