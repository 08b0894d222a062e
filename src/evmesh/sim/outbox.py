"""What a station has to say: transaction messages from the disk, in order, and passing news from memory.

Transaction messages (start, stop, meter values) are kept over power cuts and sent until they are
answered (OCPP 1.6 section 3.7). Status and the like are forgotten with the connection: the station
tells its present status when it is back.
"""

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Final

from evmesh.domain.ids import StationId
from evmesh.sim.messages import Payload
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.state import QueuedMessage, SimState

_NEWS_KEPT: Final = 200


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One CALL to send; `queued` is its place on disk, where it has one."""

    message_id: str
    action: str
    payload: Payload
    queued: QueuedMessage | None = None
    connector: int | None = None
    """Where a card was presented, for Authorize: the message itself does not say."""


class Outbox:
    """One station's messages to the CSMS, sent one at a time by its link."""

    def __init__(self, station: StationId, state: SimState, misbehaviour: Misbehaviour) -> None:
        self.wake = asyncio.Event()
        self._station = station
        self._state = state
        self._misbehaviour = misbehaviour
        self._news: deque[Outgoing] = deque(maxlen=_NEWS_KEPT)
        self._news_to_send: Outgoing | None = None
        self._tried: set[int] = set()

    def say(self, action: str, payload: Payload, connector: int | None = None) -> None:
        """Send when connected, else forget; beyond 200 the oldest goes."""
        self._news.append(Outgoing(str(uuid.uuid4()), action, payload, connector=connector))
        self.wake.set()

    def forget_news(self) -> None:
        """Drop what was not sent: the connection is gone."""
        self._news.clear()
        self._news_to_send = None

    def keep(self, action: str, local: int, payload: Payload) -> None:
        """Queue a transaction message; durable with the commit around it."""
        self._state.enqueue(self._station, action, local, str(uuid.uuid4()), payload)
        self.wake.set()

    def next(self) -> Outgoing | None:
        """Give what is to be sent now: news first, then the oldest transaction message."""
        if self._news_to_send is None and self._news:
            self._news_to_send = self._news.popleft()
        return self._news_to_send or self._from_disk()

    def answered(self, outgoing: Outgoing) -> None:
        """Forget what was answered."""
        if outgoing.queued is None:
            self._news_to_send = None
            return
        self._tried.discard(outgoing.queued.seq)
        self._state.answered(self._station, outgoing.queued.seq)

    def attempted(self, outgoing: Outgoing, attempts: int) -> None:
        """Count an answer that was an error; the message stays first in the queue."""
        if outgoing.queued is not None:
            self._state.attempted(outgoing.queued.seq, attempts)

    def _from_disk(self) -> Outgoing | None:
        message = self._state.next_message(self._station)
        if message is None:
            return None
        payload = dict(message.payload)
        if message.action != "StartTransaction":
            transaction_id = self._state.transaction_id(message.local)
            if transaction_id is not None:
                payload["transactionId"] = transaction_id
        message_id = message.message_id
        if message.seq in self._tried and self._misbehaviour.new_message_id_on_retry:
            message_id = str(uuid.uuid4())
        self._tried.add(message.seq)
        return Outgoing(message_id, message.action, payload, message)
