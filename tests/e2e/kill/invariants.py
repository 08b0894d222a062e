"""What has to hold of the books after any number of kills. Each gives the breaches that it finds."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Final

from evmesh.domain.commitment import Answer, Commitment, Stream, stream_leaf_hash
from evmesh.domain.merkle import MerkleLog
from evmesh.domain.money import Price, cost_of
from evmesh.domain.readings import NO_LEAF, Reading
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.session_record import Record
from evmesh.domain.sessions import TABLE, TERMINAL, Event, Way
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfers import split
from evmesh.domain.units import Wh
from evmesh.services.promises import SHORT
from evmesh.services.starts import UNHEARD, WITHDRAWN
from evmesh.verify.report import Status
from tests.e2e.kill.books import Books, Vault

_WS_PER_WH: Final = 3600
_TARGET: Final = {row.event: row.target for row in TABLE}
_MAY_BE_FLAGGED: Final = frozenset({SHORT, UNHEARD, WITHDRAWN})
_ONCE: Final = frozenset(Event) - {Event.SUSPEND, Event.RESUME}


def every_session_ends_and_nothing_is_owed(books: Books) -> Iterator[str]:
    for session in books.sessions:
        if session["state"] not in TERMINAL:
            yield f"{session['id']} rests in {session['state']} ({session['cause']})"
    yield from books.unfinished
    for effect in books.owed:
        yield f"{effect['kind']} of {effect['session']} is still owed"


def every_journal_follows_the_table(books: Books) -> Iterator[str]:
    for session in books.sessions:
        rows = books.journal.get(session["id"], [])
        events = [Event(row["event"]) for row in rows]
        if not rows or events[0] is not Event.RESERVE or rows[-1]["target"] != session["state"]:
            yield f"{session['id']} is {session['state']}, its journal says {events}"
        for before, after in pairwise(rows):
            table = next(row for row in TABLE if row.event == after["event"])
            if after["source"] != before["target"] or after["source"] not in table.sources:
                yield f"{session['id']}: {after['event']} in {before['target']}"
            if after["target"] != table.target or after["at"] < before["at"]:
                yield f"{session['id']}: {after['event']} led to {after['target']} at {after['at']}"
        for event in _ONCE:
            if events.count(event) > 1:
                yield f"{session['id']}: {event} happened {events.count(event)} times"


def time_never_goes_back(books: Books) -> Iterator[str]:
    """In the order of writing, over every restart: for the platform, and for each meter."""
    rows = sorted(
        (row for rows in books.journal.values() for row in rows), key=lambda row: int(row["number"])
    )
    for before, after in pairwise(rows):
        if after["at"] < before["at"]:
            yield f"{after['event']} of {after['session']} at {after['at']}, after {before['at']}"
    last: dict[str, datetime] = {}
    for leaf in books.leaves:
        reading = Reading.parse(leaf["payload"])
        if reading.at < last.get(reading.meter, reading.at):
            yield f"{reading.meter} was read at {reading.at} after {last[reading.meter]}"
        last[reading.meter] = reading.at


def the_escrow_counts_each_claim_exactly_once(books: Books) -> Iterator[str]:
    """Per tab and epoch: what is spent is what the settled sessions owe, and sessions stand end to end."""
    for vault in books.vaults:
        yield from _counts_each_claim_once(books, vault)


def _counts_each_claim_once(books: Books, vault: Vault) -> Iterator[str]:
    due: dict[tuple[str, int], int] = defaultdict(int)
    for session in books.in_tabs(vault, "settled", "refunded", "expired"):
        tab = session["payer"], session["epoch"]
        if int(session["base"]) != due[tab]:
            yield f"{session['id']} begins at {session['base']}, before it {due[tab]} were due"
        if session["state"] == "settled":
            due[tab] += int(session["due"])
    closed = {(one.payer, one.epoch): one.spent for one in vault.closings}
    for (payer, epoch), amount in due.items():
        now = vault.tabs[payer]
        spent = now.spent if now.epoch == epoch else closed.get((payer, epoch))
        if spent != amount:
            yield f"{payer} in epoch {epoch}: {amount} were due, the escrow counted {spent}"
    if vault.earned != sum(due.values()) or vault.earned != sum(amount for _, amount in vault.claims):
        yield f"due {sum(due.values())}, earned {vault.earned}, claims {vault.claims}"
    owing = [one for one in books.in_tabs(vault, "settled") if int(one["due"])]
    if vault.claimed_rows != len(owing) or vault.skipped:
        yield f"{len(owing)} sessions owed money, {vault.claimed_rows} rows claimed, {vault.skipped} skipped"


def no_token_is_made_or_lost(books: Books) -> Iterator[str]:
    for vault in books.vaults:
        held = sum(vault.balances.values())
        if held != vault.minted - vault.burnt:
            yield f"{vault.minted} were minted, {vault.burnt} destroyed, {held} are held"
        escrow = vault.balances[vault.escrow.text]
        owed = sum(tab.ceiling - tab.spent for tab in vault.tabs.values()) + vault.earned - vault.paid_out
        if escrow != owed:
            yield f"the escrow holds {escrow}, tabs and operator are owed {owed}"


def flex_that_paid_is_destroyed_once(books: Books) -> Iterator[str]:
    """What the operator got of its own promise is no more, to the unit; no other money was destroyed."""
    if not books.in_tabs(books.flex, "settled", "refunded"):
        yield "nobody paid in FLEX"
    if books.flex.burnt != books.flex.paid_out or books.own.burnt:
        yield f"{books.flex.paid_out} were paid out, {books.flex.burnt} of FLEX destroyed"


def every_refund_is_on_chain_once(books: Books) -> Iterator[str]:
    for vault in books.vaults:
        refunds = sorted(
            (one["payer"], one["epoch"], int(one["refund"] or 0)) for one in books.in_tabs(vault, "refunded")
        )
        closings = sorted((one.payer, one.epoch, one.returned) for one in vault.closings)
        if refunds != closings:
            yield f"refunds {refunds}, closings on chain {closings}"


def every_charge_has_one_receipt_and_it_verifies(books: Books) -> Iterator[str]:
    settled = {one["id"] for one in books.ended("settled")}
    written = {session for session, form in books.documents if form == Receipt.FORMAT}
    if settled != written:
        yield f"without receipt: {settled - written}; receipts of no charge: {written - settled}"
    sessions = {one["id"]: one for one in books.sessions}
    for session, report in books.reports.items():
        for check in report.checks:
            if check.status is Status.OK:
                continue
            if check.name == "plan commitment" and check.status is Status.NOT_CHECKED:
                continue  # its proof is not at hand here; the streams are looked at below
            if check.name == "terms" and check.status is Status.NOT_CHECKED:
                continue  # at this speed they hold for 90 s, and the platform may be dead so long
            charge = sessions[session]
            tab = books.vault_of(charge).tabs[charge["payer"]]
            if check.name == "settlement" and tab.epoch > charge["epoch"]:
                continue  # the tab was closed since; the closing's own total is compared above
            yield f"{session}: {check.name} is {check.status}: {check.what}"


def drivers_hold_the_very_receipts(books: Books) -> Iterator[str]:
    for session, raw in books.kept_receipts.items():
        if books.documents.get((session, Receipt.FORMAT)) != raw:
            yield f"the driver's receipt of {session} is another one"
    if books.ended("settled") and not books.kept_receipts:
        yield "no driver kept a receipt"


def every_end_has_its_settlement(books: Books) -> Iterator[str]:
    claimed = {tx for vault in books.vaults for tx, _ in vault.claims}
    for one in books.ended("settled", "refunded"):
        if one["way"] == Way.TRANSFER:
            continue
        raw = books.documents.get((one["id"], Settlement.FORMAT))
        if raw is None:
            yield f"{one['id']} has no settlement"
            continue
        settlement = Settlement.parse(raw)
        amount = int((one["due"] if one["state"] == "settled" else one["refund"]) or 0)
        if settlement.amount != amount or len(settlement.transactions) != (1 if amount else 0):
            yield f"{one['id']}: settled {settlement.amount} in {len(settlement.transactions)}, owed {amount}"
        for tx in settlement.transactions:
            if one["state"] == "settled" and "0x" + tx.hash.hex() not in claimed:
                yield f"{one['id']}: its settlement names a transaction that claimed nothing"


def every_transfer_is_settled_to_the_unit(books: Books) -> Iterator[str]:
    """What came is what was counted; of each deposit what is due left it, and the remainder, each once."""
    ours = set(books.deposit_addresses.values())
    came = Counter((one.tx_hash, one.sender, one.amount) for one in books.moved if one.receiver in ours)
    told = Counter((one["tx_hash"], one["sender"], int(one["amount"])) for one in books.transfers)
    if came != told:
        yield f"not counted: {came - told}; counted and never there: {told - came}"
    dues = {one["id"]: int(one["due"] or 0) for one in books.sessions}
    wanted = Counter[tuple[str, str, int]]()
    kept: dict[str, int] = defaultdict(int)
    for deposit in books.deposits:
        mine = [one for one in books.transfers if one["deposit"] == deposit["ref"]]
        if not deposit["settled"] or any(one["aside"] for one in mine):
            yield f"{deposit['ref']} is not settled, or lost something"
        address = books.deposit_addresses[deposit["asset"]]
        parts = split(
            sum(int(one["amount"]) for one in mine), dues.get(deposit["session"], 0), int(deposit["fee"])
        )
        if parts.due:
            wanted[address, books.operator, parts.received - parts.returned] += 1
        else:
            kept[address] += parts.fee + parts.kept
        if parts.returned:
            wanted[address, deposit["sender"], parts.returned] += 1
    left = Counter((one.sender, one.receiver, one.amount) for one in books.moved if one.sender in ours)
    if left != wanted:
        yield f"never paid: {wanted - left}; paid and not owed, or twice: {left - wanted}"
    for address in ours:
        if books.own.balances.get(address, 0) != kept[address]:
            yield f"{address} holds {books.own.balances.get(address, 0)}, {kept[address]} were kept there"


def every_deposit_has_its_document(books: Books) -> Iterator[str]:
    """A session's has a settlement, what stands for no session the signed word on it; each has its terms."""
    ways = {
        one["id"]: one["state"] for one in books.ended("settled", "refunded") if one["way"] == Way.TRANSFER
    }
    if not ways or not any(state == "settled" for state in ways.values()):
        yield "no charge by transfer came to its end"
    for deposit in books.deposits:
        session = deposit["session"]
        if session is None:
            word = TransferReturn.parse(deposit["word"])
            if word.deposit.returned != int(deposit["returned"] or 0):
                yield f"{deposit['ref']}: {word.deposit.returned} promised, {deposit['returned']} paid"
            continue
        raw = books.documents.get((session, Settlement.FORMAT))
        split_of = None if raw is None else Settlement.parse(raw).deposit
        if ways.pop(session, None) is None or split_of is None or split_of.fee > split_of.terms.fee:
            yield f"{session} has no settlement of its deposit, or one that its terms do not bear"
    if ways:
        yield f"charges that stand on no deposit: {ways}"


def the_meter_is_billed_without_gap_or_overlap(books: Books) -> Iterator[str]:
    """On each connector transactions stand end to end from 0 to what the simulated meter shows."""
    for place, register_ws in books.registers_ws.items():
        register = 0
        for one in books.transactions:
            if (one["station"], one["connector"]) != place:
                continue
            if one["meter_start"] != register or one["meter_stop"] is None:
                yield f"{place}: {one['id']} is {one['meter_start']}–{one['meter_stop']} Wh after {register}"
            register = one["meter_stop"] or one["meter_start"]
        if register != register_ws // _WS_PER_WH:
            yield f"{place}: the meter shows {register_ws} Ws, billed up to {register} Wh"


def every_charge_is_one_transaction(books: Books) -> Iterator[str]:
    by_session: dict[str, list[dict[str, object]]] = defaultdict(list)
    for transaction in books.transactions:
        by_session[transaction["session"]].append(transaction)
    for session in books.sessions:
        mine = by_session.pop(session["id"], [])
        if session["state"] != "settled":
            if mine or session["transaction_id"] is not None:
                yield f"{session['id']} is {session['state']} and has transactions {mine}"
            continue
        if [one["id"] for one in mine] != [session["transaction_id"]]:
            yield f"{session['id']} names transaction {session['transaction_id']}, there are {mine}"
            continue
        registers = session["meter_start"], session["meter_last"]
        if registers != (mine[0]["meter_start"], mine[0]["meter_stop"]) and session["cause"] != "ghost":
            yield f"{session['id']} was billed {registers}, its transaction was {mine[0]}"
        energy = Wh(session["meter_last"] - session["meter_start"])
        if int(session["due"]) != min(cost_of(energy, Price(session["price"])), int(session["budget"])):
            yield f"{session['id']}: {energy} Wh at {session['price']} are not {session['due']}"
    if by_session:
        yield f"transactions of no session: {dict(by_session)}"


def registers_only_grow_and_are_chained(books: Books) -> Iterator[str]:
    last: dict[str, tuple[int, int, bytes]] = {}
    for index, leaf in enumerate(books.leaves):
        reading = Reading.parse(leaf["payload"])
        seq, register, before = last.get(leaf["meter"], (0, 0, NO_LEAF))
        if leaf["index"] != index or leaf["seq"] != seq + 1 or leaf["prev_hash"] != before:
            yield f"leaf {index} of {leaf['meter']} is no. {leaf['seq']} after {seq}"
        if reading.register < register:
            yield f"{leaf['meter']} went back from {register} to {reading.register} Wh"
        last[leaf["meter"]] = leaf["seq"], reading.register, leaf["hash"]
    for session in books.sessions:
        if not _MAY_BE_FLAGGED.issuperset(json.loads(session["flags"])):
            yield f"{session['id']} is flagged {session['flags']}"


def anchors_grow_and_hold_every_charge(books: Books) -> Iterator[str]:
    sizes = [anchor.size for anchor in books.anchors]
    if sizes != sorted(set(sizes)):
        yield f"anchors are not in order: {sizes}"
    log = MerkleLog([leaf["hash"] for leaf in books.leaves])
    for anchor in books.anchors:
        if anchor.size > log.size or log.root(anchor.size) != anchor.root:
            yield f"the anchor of {anchor.size} leaves is not of this log"
    anchored = {(anchor.size, anchor.root) for anchor in books.anchors}
    for one in books.ended("settled"):
        head = books.heads.get(one["id"])
        if head is None or (head["size"], head["root"]) not in anchored:
            yield f"the head of {one['id']} is not anchored"


def further_streams_only_grow(books: Books) -> Iterator[str]:
    """Each is dense, every leaf is what its statement hashes to, and every head on chain is one of it."""
    for stream, leaves in books.streams.items():
        for index, leaf in enumerate(leaves):
            told = stream_leaf_hash(stream, leaf["salt"], leaf["payload"])
            if leaf["index"] != index or leaf["hash"] != told:
                yield f"leaf {leaf['index']} of {stream} is not what it says, or not the {index}th"
        log = MerkleLog([leaf["hash"] for leaf in leaves])
        for anchor in books.stream_anchors[stream]:
            if anchor.size > log.size or log.root(anchor.size) != anchor.root:
                yield f"the anchor of {anchor.size} leaves is not of {stream}"
    if not books.stream_anchors[Stream.SCHEDULES]:
        yield "no plan was anchored"


def every_charge_is_recorded_at_most_once(books: Books) -> Iterator[str]:
    """And each record names the receipt that was issued."""
    seen: set[str] = set()
    for leaf in books.streams[Stream.RECORDS]:
        record = Record.parse(leaf["payload"])
        session = record.session.text
        receipt = books.documents.get((session, Receipt.FORMAT))
        if session in seen or (receipt is not None and receipt_hash(receipt) != record.receipt_sha256):
            yield f"{session} is recorded twice, or with another receipt"
        seen.add(session)


def every_plan_was_committed_to(books: Books) -> Iterator[str]:
    """No session was promised anything of which the inputs do not stand before the answer."""
    seen: set[bytes] = set()
    stated: dict[str, bool] = {}
    for leaf in books.streams[Stream.SCHEDULES]:
        if f'"format":"{Answer.FORMAT}"'.encode() in leaf["payload"]:
            answer = Answer.parse(leaf["payload"])
            stated.setdefault(answer.schedule_sha256.hex(), answer.problem_sha256 in seen)
        else:
            seen.add(Commitment.parse(leaf["payload"]).problem_sha256)
    for session in books.sessions:
        if not stated.get(session["plan_sha256"]):
            yield f"the plan of {session['id']} is not stated, or its problem was not committed to before"


INVARIANTS: Final[tuple[Callable[[Books], Iterator[str]], ...]] = (
    every_session_ends_and_nothing_is_owed,
    every_journal_follows_the_table,
    time_never_goes_back,
    the_escrow_counts_each_claim_exactly_once,
    no_token_is_made_or_lost,
    flex_that_paid_is_destroyed_once,
    every_refund_is_on_chain_once,
    every_charge_has_one_receipt_and_it_verifies,
    drivers_hold_the_very_receipts,
    every_end_has_its_settlement,
    every_transfer_is_settled_to_the_unit,
    every_deposit_has_its_document,
    the_meter_is_billed_without_gap_or_overlap,
    every_charge_is_one_transaction,
    registers_only_grow_and_are_chained,
    anchors_grow_and_hold_every_charge,
    further_streams_only_grow,
    every_charge_is_recorded_at_most_once,
    every_plan_was_committed_to,
)
