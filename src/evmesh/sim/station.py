"""A station: where the driver's hand, the CSMS's commands and the physics meet.

Every operation first lets energy flow until now, then changes something, then writes what changed
together with the messages that tell of it, in one commit. Plug first or authorise first: a transaction
begins as soon as there are both. The wire is in `ocpp_client.py`, commands are read in `commands.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Wh
from evmesh.ports import Clock
from evmesh.sim import messages
from evmesh.sim.car import Car
from evmesh.sim.config import SimStation
from evmesh.sim.configuration import Configuration
from evmesh.sim.evse import Authorisation, Evse, EvseRecord
from evmesh.sim.misbehave import BEHAVES, Misbehaviour
from evmesh.sim.outbox import Outbox
from evmesh.sim.profiles import ChargingProfile, Purpose
from evmesh.sim.state import SimState


class Station:
    """One simulated charge point; what it remembers is loaded from `state`."""

    def __init__(
        self, config: SimStation, state: SimState, clock: Clock, misbehaviour: Misbehaviour = BEHAVES
    ) -> None:
        self.config = config
        self.misbehaviour = misbehaviour
        self.configuration = Configuration(state.settings(config.id), len(config.connectors))
        self.outbox = Outbox(config.id, state, misbehaviour)
        self._state = state
        self._clock = clock
        now = clock.now()
        records = {c.number: state.load_evse(config.id, c.number) for c in config.connectors}
        self.evses = {
            connector.number: Evse(
                connector,
                records[connector.number] or EvseRecord(at=now.replace(microsecond=0)),
                misbehaviour,
            )
            for connector in config.connectors
        }
        for evse in self.evses.values():
            evse.resume(now)
        self._share()
        self._told = {number: evse.status() for number, evse in self.evses.items()}
        self._slot = self._sample_slot(now)
        self._samples = 0

    # The driver's hand.

    def plug(self, number: int, car: Car) -> None:
        """Put the plug in; a transaction begins if somebody is authorised here."""
        with self._change() as now:
            self.evses[number].plug(car)
            self._begin_if_ready(self.evses[number], now)

    def unplug(self, number: int) -> Car:
        """Take the plug out, which ends a transaction (StopTransactionOnEVSideDisconnect); give the car."""
        with self._change() as now:
            evse = self.evses[number]
            if evse.record.transaction is not None:
                self._end(evse, "EVDisconnected", now)
            return evse.unplug()

    def present_card(self, number: int, id_tag: str) -> None:
        """Hold an RFID card to the reader: the CSMS is asked, and `authorised` comes with its answer."""
        running = self.evses[number].record.transaction
        if running is not None and running.id_tag == id_tag:
            with self._change() as now:
                self._end(self.evses[number], "Local", now)
            return
        self.outbox.say("Authorize", {"idTag": id_tag[:20]}, connector=number)

    def authorised(self, number: int, id_tag: str) -> None:
        """Let a transaction begin with the next car, or the one that is there."""
        with self._change() as now:
            self._authorise(self.evses[number], id_tag, now)

    # The CSMS's commands.

    def remote_start(self, number: int | None, id_tag: str, profile: ChargingProfile | None) -> bool:
        """Authorise from afar; False where no connector can take it."""
        with self._change() as now:
            evse = self._startable(number)
            if evse is None or self.misbehaviour.rejects_remote_start:
                return False
            if profile is not None:
                evse.record.profiles.append(profile)
            self._authorise(evse, id_tag, now)
            return True

    def remote_stop(self, transaction_id: int) -> bool:
        """End the transaction of this id; False where none runs."""
        with self._change() as now:
            evse = self.evse_of(transaction_id)
            if evse is None:
                return False
            if not self.misbehaviour.never_stops:
                self._end(evse, "Remote", now)
            return True

    def stop_all(self, reason: str) -> None:
        """End every transaction, as a reset does."""
        with self._change() as now:
            for evse in self.evses.values():
                if evse.record.transaction is not None:
                    self._end(evse, reason, now)

    def unlock(self, number: int) -> None:
        """End what runs on a connector and release the plug; the car stays where it is."""
        with self._change() as now:
            if self.evses[number].record.transaction is not None:
                self._end(self.evses[number], "UnlockCommand", now)

    def change_profiles(self, number: int, profiles: list[ChargingProfile]) -> None:
        """Replace the charging profiles of one connector."""
        with self._change():
            self.evses[number].record.profiles = profiles

    def set_operative(self, number: int, *, operative: bool) -> bool:
        """Put a connector in or out of order; False where that waits for the end of its transaction."""
        with self._change():
            record = self.evses[number].record
            if record.transaction is not None and not operative:
                record.inoperative_after = True
                return False
            record.operative, record.inoperative_after = operative, False
            return True

    def change_setting(self, key: str, value: str) -> str:
        """Set a configuration key, durably; give OCPP's answer."""
        status, own = self.configuration.change(key, value)
        if status == "Accepted":
            with self._state.commit():
                self._state.save_setting(self.config.id, own, self.configuration.value(own))
        return status

    # What the link reports.

    def start_answered(self, local: int, transaction_id: int, *, accepted: bool) -> None:
        """Learn the transaction's id; an invalid tag ends it (StopTransactionOnInvalidId)."""
        with self._change() as now:
            self._state.learn_transaction_id(local, transaction_id)
            evse = self._evse_of_local(local)
            if evse is not None and not accepted and self.configuration.flag("StopTransactionOnInvalidId"):
                self._end(evse, "DeAuthorized", now)

    def start_given_up(self, local: int) -> None:
        """End a transaction whose start the CSMS would not take: its messages have no meaning any more."""
        with self._change() as now:
            self._state.give_up_transaction(local)
            evse = self._evse_of_local(local)
            if evse is not None:
                self._end(evse, "Other", now)

    def connected(self) -> None:
        """Tell every status anew: who was away has missed them."""
        now = self._clock.now()
        self.outbox.say(
            "StatusNotification",
            messages.status_notification(0, ConnectorStatus.AVAILABLE, self.station_time(now)),
        )
        for number, evse in self.evses.items():
            self._told[number] = evse.status()
            self._tell(number, now)

    def tick(self) -> None:
        """Let energy flow until now; sample meters when their interval has passed."""
        now = self._clock.now()
        before, self._slot = self._slot, self._sample_slot(now)
        due = before != self._slot and before[0] == self._slot[0]
        if due:
            with self._change():
                self._sample_all()
                self._state.trim(self.config.id)
            return
        for evse in self.evses.values():
            evse.advance(now)
        self._expire_authorisations(now)
        self._tell_changes(now)

    # What others may look at.

    def car_at(self, number: int) -> Car | None:
        """Give the car whose plug is in."""
        return self.evses[number].record.car

    def is_running(self, number: int) -> bool:
        """Say whether a transaction runs on this connector."""
        return self.evses[number].record.transaction is not None

    def evse_of(self, transaction_id: int) -> Evse | None:
        """Give the connector on which the CSMS's transaction runs."""
        for evse in self.evses.values():
            running = evse.record.transaction
            if running is not None and self._state.transaction_id(running.local) == transaction_id:
                return evse
        return None

    def station_time(self, instant: datetime) -> datetime:
        """Give what the station's own clock shows."""
        return instant + self.misbehaviour.clock_skew

    def read_meter(self, number: int) -> None:
        """Send meter values now; on disk first, so that the register told is never ahead of the one kept."""
        with self._change():
            evse = self.evses[number]
            payload, running = self._sample(evse, "Trigger"), evse.record.transaction
            if running is None:
                self.outbox.say("MeterValues", payload)
            else:
                self.outbox.keep("MeterValues", running.local, payload)

    def _sample(self, evse: Evse, context: str) -> messages.Payload:
        register = evse.record.meter.register
        self._samples += 1
        if self._samples % 3 == 0:
            register = Wh(max(0, register - self.misbehaviour.register_goes_back))
        measurands = self.configuration.items("MeterValuesSampledData")
        at = self.station_time(evse.record.at)
        return messages.meter_values(evse, at, context, register, measurands)

    @contextmanager
    def _change(self) -> Iterator[datetime]:
        """Bring the physics to now, let the caller change something, write and tell it."""
        now = self._clock.now()
        with self._state.commit():
            for evse in self.evses.values():
                evse.advance(now)
            self._expire_authorisations(now)
            yield now
            self._share()
            for number, evse in self.evses.items():
                self._state.save_evse(self.config.id, number, evse.record)
        self._tell_changes(now)

    def _authorise(self, evse: Evse, id_tag: str, now: datetime) -> None:
        patience = timedelta(seconds=self.configuration.number("ConnectionTimeOut"))
        evse.record.authorisation = Authorisation(id_tag, now + patience)
        self._begin_if_ready(evse, now)

    def _begin_if_ready(self, evse: Evse, now: datetime) -> None:
        record = evse.record
        if record.car is None or record.authorisation is None or record.transaction is not None:
            return
        transaction = evse.begin(
            self._state.new_transaction(self.config.id, evse.number), record.authorisation.id_tag
        )
        at = self.station_time(transaction.started_at)
        self.outbox.keep(
            "StartTransaction", transaction.local, messages.start_transaction(evse, transaction, at)
        )

    def _end(self, evse: Evse, reason: str, now: datetime) -> None:
        transaction = evse.record.transaction
        if transaction is None:
            raise ValueError(f"no transaction runs on {evse.connector.name}")
        began = self.station_time(transaction.started_at)
        at = self.station_time(max(transaction.started_at, now))
        payload = messages.stop_transaction(evse, transaction, began, at, reason)
        self.outbox.keep("StopTransaction", transaction.local, payload)
        evse.end()

    def _expire_authorisations(self, now: datetime) -> None:
        """Forget who was authorised and did not plug in within ConnectionTimeOut."""
        for evse in self.evses.values():
            record = evse.record
            if record.authorisation is not None and now >= record.authorisation.until:
                record.authorisation = None
                record.profiles = [p for p in record.profiles if p.purpose is not Purpose.TX]

    def _startable(self, number: int | None) -> Evse | None:
        """Give the connector for a remote start: the one asked for, else one with a car, else any free."""
        free = [
            evse
            for evse in self.evses.values()
            if evse.record.operative
            and evse.record.transaction is None
            and evse.record.authorisation is None
            and number in (None, evse.number)
        ]
        with_car = [evse for evse in free if evse.record.car is not None]
        return next(iter(with_car or free), None)

    def _evse_of_local(self, local: int) -> Evse | None:
        for evse in self.evses.values():
            running = evse.record.transaction
            if running is not None and running.local == local:
                return evse
        return None

    def _sample_all(self) -> None:
        for evse in self.evses.values():
            running = evse.record.transaction
            if running is not None:
                self.outbox.keep("MeterValues", running.local, self._sample(evse, "Sample.Periodic"))

    def _sample_slot(self, now: datetime) -> tuple[int, int]:
        """Give the interval and its number since 1970: all stations sample together, in one commit."""
        interval = self.configuration.number("MeterValueSampleInterval")
        return interval, int(now.timestamp()) // interval if interval else 0

    def _share(self) -> None:
        running = sum(evse.record.transaction is not None for evse in self.evses.values())
        for evse in self.evses.values():
            evse.sharing = max(1, running)

    def _tell_changes(self, now: datetime) -> None:
        for number, evse in self.evses.items():
            status = evse.status()
            if status is not self._told[number]:
                self._told[number] = status
                self._tell(number, now)

    def _tell(self, number: int, now: datetime) -> None:
        at = self.station_time(now)
        self.outbox.say("StatusNotification", messages.status_notification(number, self._told[number], at))
