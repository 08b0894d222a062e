"""What meters sign for themselves: kept as it came, judged when the charge is billed.

A record is never what a charge is billed by: the register is, as for any other meter. Where the record is
false, or says otherwise, or did not come although the meter is one that signs, the session is flagged, and
its receipt says that the gateway signed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evmesh.domain.errors import Refused
from evmesh.domain.evidence import NotaryLeaf
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_charge import OcmfCharge
from evmesh.domain.sessions import Session
from evmesh.domain.signed_meter import MAX_RECORD, MOST_RECORDS, begins_or_ends, difference, records_of
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import Wh
from evmesh.ports import MeterSignatures
from evmesh.services.directory import Directory, Place
from evmesh.services.meter_log import MeterLog
from evmesh.services.transitions import Work
from evmesh.verify.ocmf import OcmfReport, verify_ocmf
from evmesh.verify.report import Status

FALSE_SIGNATURE: Final = "meter.false_signature"
"""The meter's record is not signed by the meter's registered key."""

SIGNED_DIFFERS: Final = "meter.signed_differs"
"""The meter's record cannot be read, makes no sense, or says otherwise than the registers that were told."""

UNSIGNED: Final = "meter.unsigned"
"""The meter is one that signs, and there is no whole record of the charge that can be checked."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The records that hold, for the receipt; or the flag of what does not."""

    records: tuple[NotaryLeaf, ...] = ()
    flag: str | None = None


class SignedMeters:
    """Keeps meters' own records, and says what they are worth."""

    def __init__(self, directory: Directory, log: MeterLog, signatures: MeterSignatures) -> None:
        self._directory = directory
        self._log = log
        self._signatures = signatures

    async def keep(self, work: Work, session: Session | None, samples: Iterable[MeterSample]) -> None:
        """Make leaves of what a running session's meter has signed; what came before is not kept again."""
        fresh = [raw for sample in samples for raw in sample.signed]
        if session is None or not fresh:
            return
        place = self._directory.by_asset(session.terms.asset)
        known = {leaf.payload for leaf in records_of(await work.unit.session_leaves(session.id))}
        for raw in fresh:
            wanted = len(raw) <= MAX_RECORD and raw not in known and begins_or_ends(raw)
            if wanted and len(known) < MOST_RECORDS:
                await self._log.append_record(work, place.meter, raw, session.id)
                known.add(raw)

    async def flagged(self, work: Work, session: Session, register: Wh) -> Session:
        """Give a session that is to be billed at a register with the flag of its meter's records, if any."""
        judged = self.judge(
            self._directory.by_asset(session.terms.asset),
            await work.unit.session_leaves(session.id),
            session.meter_start or Wh(0),
            register,
        )
        return session if judged.flag is None else replace(session, flags=session.flags_and(judged.flag))

    def judge(self, place: Place, leaves: Sequence[NotaryLeaf], start: Wh, stop: Wh) -> Judged:
        """Check a charge's records against the meter's registered key and the registers that are billed."""
        key, records = place.connector.ocmf_key, records_of(leaves)
        if not key:
            return Judged()
        if not records:
            return Judged(flag=UNSIGNED)
        try:
            chosen, report = self._report(records, key)
        except Refused:
            return Judged(flag=UNSIGNED)  # signed in a way that cannot be checked here
        if any(check.status is Status.FAILED for check in report.signatures):
            return Judged(flag=FALSE_SIGNATURE)
        if not report.report.ok:
            return Judged(flag=SIGNED_DIFFERS)
        if report.energy is None:
            return Judged(flag=UNSIGNED)
        charge = OcmfCharge.of([OcmfRecord.parse(leaf.payload) for leaf in chosen])
        if difference(charge, start, stop) is not None:
            return Judged(flag=SIGNED_DIFFERS)
        return Judged(tuple(chosen))

    def _report(self, records: Sequence[NotaryLeaf], key: bytes) -> tuple[Sequence[NotaryLeaf], OcmfReport]:
        """Check the newest record that holds a whole charge, or all together."""
        for leaf in reversed(records):
            alone = verify_ocmf([leaf.payload], key, self._signatures)
            if alone.energy is not None:
                return [leaf], alone
        return records, verify_ocmf([leaf.payload for leaf in records], key, self._signatures)
