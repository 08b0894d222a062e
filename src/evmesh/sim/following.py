"""While it charges, and after: looking at the session, saying stop, keeping the receipt."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import structlog

from evmesh.sim.api_client import Denied, Document
from evmesh.sim.countersigning import record_document
from evmesh.sim.outing import Outing
from evmesh.sim.progress import Stage

_log = structlog.get_logger()
OVER: Final = frozenset({"metered", "settled"})
"""Nothing more will flow; the car still stands there until its driver comes."""
NOT_ANY_MORE: Final = frozenset({"expired", "refunding", "refunded"})
_STOP_PATIENCE: Final = timedelta(minutes=2)


class Following:
    """Follows one session. Some drivers leave without a word: which ones follows from the visit's name."""

    def __init__(self, outing: Outing) -> None:
        self._outing = outing
        self._says_goodbye = sha256(outing.progress.key.encode()).digest()[2] % 3 != 0

    async def charge(self) -> None:
        """Plug in, look at the session now and then, leave when it is time."""
        outing, progress, accepted = self._outing, self._outing.progress, self._outing.accepted
        outing.plug()
        watch = timedelta(seconds=outing.around.timing.watch_s)
        while outing.now() < progress.departure:
            session = await outing.patiently(
                lambda: outing.around.api.session(accepted.session), progress.departure
            )
            if isinstance(session, dict) and session.get("state") in NOT_ANY_MORE:
                outing.go(Stage.LEFT, f"session.{session['state']}")
                return
            is_over = isinstance(session, dict) and session.get("state") in OVER
            until = progress.departure if is_over else min(outing.now() + watch, progress.departure)
            await outing.around.clock.sleep_until(until)
        if self._says_goodbye:
            await self.say_stop()
        outing.go(Stage.LEFT, "")

    async def say_stop(self) -> None:
        """Ask for the end, and wait a little for it: the plug is locked while current flows."""
        outing, accepted = self._outing, self._outing.accepted
        until = outing.now() + _STOP_PATIENCE
        page = await outing.patiently(lambda: outing.around.api.station(outing.place.code), until)
        if page is None or isinstance(page, Denied):
            return
        terms = outing.terms(page)

        async def say() -> Document | Denied:
            document = terms.stop_document(accepted.session, int(outing.now().timestamp()))
            return await outing.around.api.stop(accepted.session, document)

        await outing.patiently(say, until)
        while outing.place.is_running and outing.now() < until:
            await outing.wait(10)

    async def keep_receipt(self) -> None:
        """Ask for the receipt until it is there, or it is clear that there will be none."""
        outing, progress, accepted = self._outing, self._outing.progress, self._outing.accepted
        api, timing = outing.around.api, outing.around.timing
        until = outing.now() + timedelta(seconds=timing.receipt_patience_s)
        while outing.now() < until and progress.note not in {f"session.{state}" for state in NOT_ANY_MORE}:
            receipt = await outing.patiently(lambda: api.receipt(accepted.session), until)
            if isinstance(receipt, bytes):
                self._write_receipt(accepted.session, receipt)
                document = record_document(receipt, accepted, outing.wallet, outing.around.signatures)
                if document is not None:
                    await self._countersign(document, until)
                outing.save(Stage.DONE)
                return
            session = await outing.patiently(lambda: api.session(accepted.session), until)
            if isinstance(session, dict) and session.get("state") in NOT_ANY_MORE:
                progress.note = f"session.{session['state']}"
                break
            await outing.wait(timing.watch_s)
        progress.note = progress.note or "no_receipt"
        outing.save(Stage.DONE)

    async def _countersign(self, document: Document, until: datetime) -> None:
        """Sign the session's record; one that is refused is for the operator to file alone."""
        session, api = self._outing.accepted.session, self._outing.around.api
        answer = await self._outing.patiently(lambda: api.countersign(session, document), until)
        if isinstance(answer, Denied):
            _log.warning("driver.not_countersigned", session=session, code=answer.code)

    def _write_receipt(self, session: str, receipt: bytes) -> None:
        """Write the file whole or not at all."""
        target = self._outing.around.receipts / f"{session}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        fresh.write_bytes(receipt)
        fresh.replace(target)
