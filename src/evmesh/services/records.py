"""Each finished charge becomes a record in the network's own list, with both sides' signatures.

The driver's half is asked for once the receipt is there. Who pays from a wallet that cannot sign it, or
does not care to, is waited for; then the record goes in with the operator's word alone.
"""

from datetime import timedelta
from hashlib import sha256
from typing import Final

from evmesh.domain.commitment import Stream, StreamLeaf
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.session_record import Record, countersigned
from evmesh.domain.settlement import Settlement
from evmesh.domain.typed_data import digest
from evmesh.ports import Signatures
from evmesh.services.directory import Operator
from evmesh.services.stream_log import StreamLog
from evmesh.services.transitions import Transitions, Work

PATIENCE: Final = timedelta(hours=24)
"""How long after its end a session waits for its driver's signature: a day, in which a phone is opened."""

_MOST: Final = 500
"""Records written in one database transaction."""


class Records:
    """Takes countersignatures, and writes `evmesh.session-record/1`."""

    def __init__(
        self, transitions: Transitions, operator: Operator, signatures: Signatures, log: StreamLog
    ) -> None:
        self._transitions = transitions
        self._operator = operator
        self._signatures = signatures
        self._log = log

    async def countersign(self, session: SessionId, signature: bytes) -> StreamLeaf | None:
        """Keep the driver's signature of a session's record; give the record's leaf once there is one.

        So the record is shown to nobody but who can sign for the payer. A record that went in without
        the signature stays as it is. Raises Refused `receipt.not_yet`, IntegrityFailure
        `record.wrong_signature`.
        """
        async with self._transitions.begin() as work:
            found = await work.unit.session(session)
            if found is None:
                raise InvalidInput("session.unknown", f"there is no session {session}")
            raw = await work.unit.document(session, Receipt.FORMAT)
            if raw is None:
                raise Refused(
                    "receipt.not_yet", f"session {session} has no receipt yet", do="ask again later"
                )
            value = countersigned(Receipt.parse(raw), raw)
            signed = digest(self._operator.domain, value, self._signatures.keccak256)
            if self._signatures.recover(signed, signature) != found.terms.payer:
                raise IntegrityFailure(
                    "record.wrong_signature",
                    "the record is not signed by the session's payer",
                    do="sign session, hash, energy and due amount of the receipt as it was issued",
                    path="signature",
                )
            leaves = await work.unit.stream_leaves_of(Stream.RECORDS, session.text)
            if leaves:
                return leaves[0]
            await work.unit.add_countersignature(session, signature, work.now)
            return None

    async def gather(self) -> int:
        """Write the records of sessions that ended and are signed, or have waited long enough."""
        written = 0
        while True:
            async with self._transitions.begin() as work:
                due = await work.unit.unrecorded(Receipt.FORMAT, work.now - PATIENCE, _MOST)
                for session in due:
                    await self._write(work, session)
            written += len(due)
            if len(due) < _MOST:
                return written

    async def _write(self, work: Work, id: SessionId) -> None:
        session = await work.unit.session(id)
        raw = await work.unit.document(id, Receipt.FORMAT)
        if session is None or raw is None:
            raise AssertionError(f"session {id} was found by its receipt")
        receipt, settlement = Receipt.parse(raw), await work.unit.document(id, Settlement.FORMAT)
        record = Record(
            session=id,
            chain=receipt.chain,
            receipt_sha256=receipt_hash(raw),
            settlement_sha256=None if settlement is None else sha256(settlement).digest(),
            outcome=session.state.value,
            energy=receipt.energy,
            due=receipt.due,
            payer=session.terms.payer,
            payee=self._operator.payee.address,
            countersignature=await work.unit.countersignature(id),
        )
        signed = digest(self._operator.domain, record.to_sign(), self._signatures.keccak256)
        payload = record.signed(self._operator.payee.sign(signed)).encode()
        await self._log.append(work.unit, Stream.RECORDS, payload, id.text, work.now)
