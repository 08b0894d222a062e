"""A charging station from parts: a pilot controller, a meter, a contactor and a lamp under one hand.

To the services it is a station like any other: `ports.ChargePoint` is what they ask of it, and
`ports.ChargePointEvents` is what it tells. Each beat looks at the parts anew, writes down what follows, and
only then moves current: energy flows when the platform has accepted the start, and what the meter said at
start and end is on the disk before anybody hears of it. Energy is what the meter's register says, and
nothing else: while the meter is away nothing is added, and after `patience_s` the charge is ended.
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import BootInfo, LimitProfile, MeterSample, StartAnswer, StartedTransaction
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.edge.led import Colour
from evmesh.edge.pilot import WITH_CAR, WRONG, Pilot
from evmesh.edge.station_eyes import Parts, StationEyes
from evmesh.edge.station_gate import AGAIN_AFTER_S, CurrentGate
from evmesh.edge.station_record import Authorisation, Begun, Charge, Ended, Record, Sampled, StationConfig
from evmesh.edge.station_store import StationStore
from evmesh.edge.station_teller import StationTeller
from evmesh.edge.station_view import FLOWS, Seen, allowed, colour_of, status_of
from evmesh.ports import ChargePointEvents, Checkpoint, Clock

_log = structlog.get_logger(__name__)
_LEAVE_S: Final = 3.0


def _go_on(_: str) -> None:
    """Pass every checkpoint."""


class StationFromParts:
    """One station with one connector: a service, and a `ChargePoint` for its own identity."""

    def __init__(
        self,
        config: StationConfig,
        info: BootInfo,
        parts: Parts,
        store: StationStore,
        events: ChargePointEvents,
        clock: Clock,
        checkpoint: Checkpoint = _go_on,
    ) -> None:
        self.name = f"station-{config.connector.station}"
        self._config = config
        self._parts = parts
        self._store = store
        self._clock = clock
        self._checkpoint = checkpoint
        self._wake = asyncio.Event()
        self._teller = StationTeller(config.connector, info, store, events, checkpoint, self._wake)
        self._gate = CurrentGate(parts.controller, parts.contactor)
        self._turn = asyncio.Lock()
        self._eyes = StationEyes(parts, config.patience_s)
        self._stopping_at: float | None = None
        self._trouble = ""
        self._shown: Colour | None = None
        self._shown_at = 0.0

    # What the services ask: ports.ChargePoint.

    def is_connected(self, station: StationId) -> bool:
        """Say whether the platform has been told of this station, and it is ours."""
        return station == self._config.connector.station and self._teller.is_connected

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        """Let the next car, or the one that is there, begin a charge; False where it is busy or faulted."""
        self._expect(connector.station)
        async with self._turn:
            record = self._store.record
            same = record.authorisation is not None and record.authorisation.id_tag == id_tag
            if same or (record.charge is not None and record.charge.start.id_tag == id_tag):
                return True
            if connector != self._config.connector or record.charge or record.authorisation:
                return False
            if self._trouble:
                return False
            until = self._clock.now() + self._config.start_within
            await self._store.keep(replace(record, authorisation=Authorisation(id_tag, until)))
        self._wake.set()
        return True

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        """End the charge; False where it is not this one. It has ended once its end was told."""
        self._expect(station)
        async with self._turn:
            charge = self._charge_of(transaction_id)
            if charge is None:
                return False
            await self._stop(charge, "Remote")
        self._wake.set()
        return True

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        """Keep the charge's profile and follow it; False where it is not this charge."""
        self._expect(connector.station)
        async with self._turn:
            charge = self._charge_of(transaction_id)
            if charge is None or connector != self._config.connector:
                return False
            await self._store.keep(replace(self._store.record, charge=replace(charge, profile=profile)))
        self._wake.set()
        return True

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        """Keep the limit of charges without a profile that speaks."""
        self._expect(connector.station)
        if connector != self._config.connector or limit < 0:
            return False
        async with self._turn:
            await self._store.keep(replace(self._store.record, default_limit=limit))
        self._wake.set()
        return True

    async def take_new_meter(self) -> bool:
        """Take a person's word that the meter is another one now; True where a charge ends by that.

        It ends at the register that was read last. On the disk when this returns.
        """
        async with self._turn:
            charge = self._store.record.charge
            if charge is not None:
                await self._lose_meter(charge)
            self._parts.meter.take_new_meter(self._clock.now())
        self._wake.set()
        return charge is not None

    async def _lose_meter(self, charge: Charge) -> None:
        if charge.is_meter_gone:
            return
        _log.warning("station.meter_swapped", station=self.name, last=self._eyes.last_of(charge))
        gone = replace(
            charge,
            last=self._eyes.last_of(charge),
            is_meter_gone=True,
            stopping=charge.stopping or "Other",
        )
        await self._store.keep(replace(self._store.record, charge=gone))
        self._checkpoint("station.meter_gone")

    def _expect(self, station: StationId) -> None:
        if not self.is_connected(station):
            raise Unavailable("station.offline", f"{station} is not connected")

    def _charge_of(self, transaction_id: int) -> Charge | None:
        answer = self._answer()
        is_ours = answer is not None and answer.transaction_id == transaction_id and transaction_id > 0
        return self._store.record.charge if is_ours else None

    def _answer(self) -> StartAnswer | None:
        charge = self._store.record.charge
        return None if charge is None else self._store.answer(charge.local)

    # What it does by itself.

    async def run(self) -> None:
        """Run until cancelled; where nobody looks any more nothing flows, and the charge waits."""
        self._eyes.open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._teller.run())
                group.create_task(self._work())
        finally:
            await self._leave()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            began = loop.time()
            seen = await self._eyes.look(self._store.record.charge, is_off=self._gate.applied == 0)
            if seen.is_back:
                self._gate.distrust()
            if self._eyes.sees_all or seen.trouble:
                self._teller.may_connect.set()
            async with self._turn:
                self._trouble = seen.trouble
                await self._step(seen, began)
                fresh = loop.time() - self._gate.opened_at < self._config.settle_s
                seen = replace(seen, is_fresh=fresh and bool(self._gate.applied))
                status = status_of(
                    self._store.record, self._answer(), seen, self._gate.applied or Milliamp(0)
                )
            if status is not None:
                self._teller.say(*status, self._clock.now())
            await self._show(colour_of(self._store.record, seen, self._gate.applied or Milliamp(0)))
            try:
                async with asyncio.timeout_at(began + self._config.interval_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _step(self, seen: Seen, looked_at: float) -> None:
        """Write down what follows from what was seen, then let flow what may. Its turn is ours."""
        record, now = self._store.record, self._clock.now()
        if record.charge is not None:
            await self._go_on(record.charge, seen, now, looked_at)
        else:
            await self._wait_for_car(record, seen, now)
        await self._apply(seen, now)

    async def _wait_for_car(self, record: Record, seen: Seen, now: datetime) -> None:
        who = record.authorisation
        if record.is_over and seen.pilot is Pilot.NO_CAR:
            record = replace(record, is_over=False)
            await self._store.keep(record)
        if who is None:
            return
        if now >= who.until:
            await self._store.keep(replace(record, authorisation=None))
        elif seen.pilot in WITH_CAR and seen.register is not None and not seen.trouble:
            await self._begin(record, who, seen.register, seen.meter, now)

    async def _begin(
        self, record: Record, who: Authorisation, register: Wh, meter: str, now: datetime
    ) -> None:
        local = record.charges + 1
        at = now.replace(microsecond=0)  # as stations tell it, and as receipts count
        start = StartedTransaction(self._config.connector, who.id_tag, at, register)
        charge = Charge(local, start, register, now, meter=meter)
        begun = replace(record, charges=local, authorisation=None, charge=charge, is_over=False)
        await self._store.keep(begun, [Begun(local, start)])
        self._checkpoint("station.start_kept")
        self._teller.wake()

    async def _go_on(self, charge: Charge, seen: Seen, now: datetime, looked_at: float) -> None:
        if seen.is_other_meter and not charge.is_meter_gone:
            await self._lose_meter(charge)
            return
        last = charge.last if charge.is_meter_gone else self._eyes.last_of(charge)
        if charge.stopping:
            if self._is_still(seen, looked_at):
                await self._end(charge, last, seen, now)
            return
        if reason := self._why_stop(seen):
            await self._stop(charge, reason)
        elif seen.register is not None and now - charge.sampled_at >= self._config.sample_every:
            sample = MeterSample(now, seen.register, seen.power, offered=self._gate.applied)
            kept = replace(charge, last=last, sampled_at=now)
            await self._store.keep(replace(self._store.record, charge=kept), [Sampled(charge.local, sample)])
            self._checkpoint("station.sample_kept")
            self._teller.wake()

    def _why_stop(self, seen: Seen) -> str:
        answer = self._answer()
        if answer is not None and not answer.accepted:
            return "DeAuthorized"
        if seen.pilot is Pilot.NO_CAR:
            return "EVDisconnected"
        return "Other" if seen.trouble else ""

    async def _stop(self, charge: Charge, reason: str) -> None:
        if not charge.stopping:
            await self._store.keep(replace(self._store.record, charge=replace(charge, stopping=reason)))
            self._checkpoint("station.stop_asked")

    def _is_still(self, seen: Seen, looked_at: float) -> bool:
        """Tell whether the register that was just read is the last of the charge.

        What cannot be switched off, or not be read, is waited for as long as patience goes, and no longer.
        """
        if self._stopping_at is None:
            self._stopping_at = looked_at
        if looked_at - self._stopping_at > self._config.patience_s + self._config.settle_s:
            return True
        if self._gate.applied != 0 or looked_at < self._gate.closed_at:
            return False
        if seen.register is None and not seen.is_other_meter:
            return False
        is_quiet = seen.power is not None and seen.power < FLOWS
        return is_quiet or looked_at - self._gate.closed_at >= self._config.settle_s

    async def _end(self, charge: Charge, register: Wh, seen: Seen, now: datetime) -> None:
        ended = Ended(charge.local, max(now, charge.start.at), register, charge.stopping)
        is_over = seen.pilot is not Pilot.NO_CAR
        await self._store.keep(replace(self._store.record, charge=None, is_over=is_over), [ended])
        self._checkpoint("station.stop_kept")
        self._stopping_at = None
        self._teller.wake()

    async def _apply(self, seen: Seen, now: datetime) -> None:
        target = allowed(self._config, self._store.record, self._answer(), now)
        if seen.pilot in WRONG:
            target = Milliamp(0)
        try:
            await self._gate.apply(self._gate.possible(target))
        except EvmeshError as error:
            self._eyes.switched(error.describe())
        else:
            self._eyes.switched("")

    async def _show(self, colour: Colour) -> None:
        """Light the lamp, now and then anew: it may have been reset. One that is broken stops no charge."""
        now = asyncio.get_running_loop().time()
        if self._parts.lamp is None or (colour is self._shown and now - self._shown_at < AGAIN_AFTER_S):
            return
        try:
            await self._parts.lamp.show(colour)
        except EvmeshError as error:
            if self._shown is not None:
                _log.warning("station.lamp_away", station=self.name, why=error.describe())
            self._shown = None
            return
        self._shown, self._shown_at = colour, now

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._gate.apply(Milliamp(0))
        except (EvmeshError, TimeoutError) as error:
            _log.error("station.left_on", station=self.name, why=str(error))
