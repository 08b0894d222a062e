"""The gateway: polls its devices, keeps what they say, and sends it up until the database has it."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final

import structlog

from evmesh.domain.errors import Unavailable
from evmesh.domain.telemetry import Command, CommandResult, NumberedValue, TelemetryValue, ValueName
from evmesh.edge.outbox import Outbox, Waiting
from evmesh.edge.poller import Poller
from evmesh.ports import Clock, Uplink, UplinkLine

_log = structlog.get_logger(__name__)
BATCH: Final = 200
"""Readings that are read from the disk and published at a time."""

MOST_UNHEARD: Final = 5_000
"""Readings that may be under way without the database's word, which bounds what is sent twice."""

AGAIN_AFTER_S: Final = 30.0
"""When what nobody has acknowledged is sent again on a connection that stands."""

ANYWAY: Final = 10
"""How many times longer it is until that is done though other readings flow."""

ASK_AGAIN_S: Final = 300.0
"""How long readings stay here that the broker does not take, before they are tried again."""

PUBLISH_REFUSED: Final = "broker.publish_refused"

SKEW_TOLD: Final = timedelta(seconds=1)
"""How much a clock's skew must have changed to be told again."""

MOST_COMMANDS: Final = 20
"""That may wait for one charger."""

FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 15.0

_Newest = dict[tuple[str, str], Waiting]
"""By charger and value, what was sent last."""


class Gateway:
    """A service that joins devices, outbox and uplink.

    Reading goes on while the uplink is away, and sending while a device hangs.
    """

    name = "edge-gateway"

    def __init__(
        self,
        gateway: str,
        pollers: Sequence[Poller],
        outbox: Outbox,
        uplink: Uplink,
        clock: Clock,
        *,
        longest_delay_s: float = LONGEST_DELAY_S,
        again_after_s: float = AGAIN_AFTER_S,
        ask_again_s: float = ASK_AGAIN_S,
    ) -> None:
        self._gateway = gateway
        self._pollers = {poller.name: poller for poller in pollers}
        self._outbox = outbox
        self._uplink = uplink
        self._clock = clock
        self._longest_delay_s = longest_delay_s
        self._again_after_s = again_after_s
        self._skew: timedelta | None = None
        self._refused: dict[str, float] = {}
        self._shown: _Newest = {}
        self._ask_again_s = ask_again_s
        self._sending: str | None = None
        self._is_careful = False
        self._waiting = asyncio.Event()
        self._heard = asyncio.Event()
        self._unheard = 0
        self.connected = False

    async def put(self, values: Sequence[TelemetryValue]) -> None:
        """Keep readings; durable when this returns, and then sent."""
        await self._outbox.put(values)
        self._waiting.set()

    async def run(self) -> None:
        """Run for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected())
            for poller in self._pollers.values():
                group.create_task(poller.run())

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY_S
        while True:
            began = loop.time()
            try:
                await self._while_connected()
            except* Unavailable as errors:
                found = list(_leaves(errors))
                _log.warning("edge.uplink_away", why=found[0].describe(), retry_s=delay)
                if any(error.code == PUBLISH_REFUSED for error in found):
                    self._note_refusal()
                else:
                    self._sending, self._is_careful = None, False
            self.connected = False
            if loop.time() - began > self._longest_delay_s:
                delay = FIRST_DELAY_S
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._longest_delay_s)

    async def _while_connected(self) -> None:
        async with self._uplink.open([self._gateway, *self._pollers]) as line, asyncio.TaskGroup() as group:
            self.connected = True
            group.create_task(self._send(line))
            group.create_task(self._hear(line))
            group.create_task(self._obey(line))

    async def _send(self, line: UplinkLine) -> None:
        """Send all that waits, from the oldest; and all of it again after a silence, or after a while.

        After a while, since an ingest may die between its commit and its word: what flows meanwhile is no
        silence, and what is still here is little, unless something is wrong.

        At the end of a connection's first round the newest of each value goes out again that was sent on an
        earlier one, since the broker may have forgotten it; and later, where an older one was sent again.
        """
        after = 0
        stale = dict(self._shown)
        self._unheard = 0
        began = asyncio.get_running_loop().time()
        while True:
            now = asyncio.get_running_loop().time()
            if self._ask_refused_again(now) or now - began >= ANYWAY * self._again_after_s:
                after, self._unheard, began = 0, 0, now
            self._waiting.clear()
            self._heard.clear()
            found = await self._outbox.take(after, BATCH) if self._unheard < MOST_UNHEARD else []
            if found:
                await self._send_some(line, [one.reading for one in found])
                self._note_shown(found, stale)
                after = found[-1].number
                continue
            if stale:
                again = [one.reading for one in stale.values()]
                stale.clear()
                await self._send_some(line, again, are_new=False)
            try:
                async with asyncio.timeout(self._again_after_s):
                    await self._something()
            except TimeoutError:
                if self._unheard:
                    after = self._unheard = 0

    def _ask_refused_again(self, now: float) -> bool:
        """Forget refusals that are old enough; tells whether there were any."""
        over = [name for name, until in self._refused.items() if until <= now]
        for name in over:
            del self._refused[name]
        return bool(over)

    def _note_shown(self, sent: Sequence[Waiting], stale: "_Newest") -> None:
        """Note the newest of each value; `stale` gets those of which the broker has an older one last."""
        for one in sent:
            key = one.reading.value.charger, one.reading.value.name
            newest = self._shown.get(key, one)
            if one.number >= newest.number:
                self._shown[key] = one
                stale.pop(key, None)
            else:
                stale[key] = newest

    async def _send_some(
        self, line: UplinkLine, readings: Sequence[NumberedValue], *, are_new: bool = True
    ) -> None:
        """Send what nobody refuses; charger by charger where it is not known yet whose it was.

        What is not new is not waited for: the database may have it.
        """
        allowed = [one for one in readings if one.value.charger not in self._refused]
        if not self._is_careful:
            await self._send_all(line, allowed, are_new=are_new)
            return
        for charger, group in groupby(allowed, key=lambda one: one.value.charger):
            if charger not in self._refused:
                self._sending = charger
                await self._send_all(line, list(group), are_new=are_new)

    async def _send_all(self, line: UplinkLine, readings: list[NumberedValue], *, are_new: bool) -> None:
        # Counted before: the first may be acknowledged before the last has gone.
        self._unheard += len(readings) if are_new else 0
        if readings:
            await line.send(readings)

    def _note_refusal(self) -> None:
        """Leave alone the charger whose readings the broker did not take, once it is known which."""
        if self._sending is None:
            self._is_careful = True
            return
        self._refused[self._sending] = asyncio.get_running_loop().time() + self._ask_again_s
        _log.error("edge.not_allowed", charger=self._sending, gateway=self._gateway)
        self._sending, self._is_careful = None, False

    async def _something(self) -> None:
        """Return when there is more to send, and room to send it."""
        if self._unheard >= MOST_UNHEARD:
            await self._heard.wait()
        else:
            await self._waiting.wait()

    async def _hear(self, line: UplinkLine) -> None:
        async for ack in line.acks():
            gone = await self._outbox.stored(ack)
            self._unheard = max(0, self._unheard - gone)
            self._heard.set()
            if ack.at is not None and gone:
                await self._note_skew(self._clock.now() - ack.at)

    async def _note_skew(self, skew: timedelta) -> None:
        """Tell how far our clock is from the ingest's, by when its word arrives; too late makes it small."""
        if self._skew is not None and abs(skew - self._skew) <= SKEW_TOLD:
            return
        self._skew = skew
        told = TelemetryValue(
            self._gateway, ValueName.CLOCK_SKEW, self._clock.now(), skew // timedelta(milliseconds=1)
        )
        await self.put([told])

    async def _obey(self, line: UplinkLine) -> None:
        """Hand each command to its charger; one that hangs keeps no other's waiting."""
        queues = {name: asyncio.Queue[Command](MOST_COMMANDS) for name in self._pollers}
        async with asyncio.TaskGroup() as group:
            for name, queue in queues.items():
                group.create_task(self._obey_one(line, self._pollers[name], queue))
            async for command in line.commands():
                if command.charger not in queues:
                    await line.answer(_no(command, "command.no_charger", "this gateway has no such charger"))
                elif queues[command.charger].full():
                    await line.answer(_no(command, "command.too_many", f"{MOST_COMMANDS} are waiting"))
                else:
                    queues[command.charger].put_nowait(command)

    async def _obey_one(self, line: UplinkLine, poller: Poller, queue: asyncio.Queue[Command]) -> None:
        while True:
            command = await queue.get()
            await line.answer(await poller.obey(command, skew=self._skew or timedelta()))


def _no(command: Command, code: str, why: str) -> CommandResult:
    return CommandResult(command.charger, command.what, command.id, code, why)


def _leaves(group: BaseExceptionGroup[Unavailable]) -> Iterator[Unavailable]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
