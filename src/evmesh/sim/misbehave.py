"""Switches for what real stations and drivers get wrong, each seen in the field.

OCPP stacks that change the message id of a resent message (libocpp #298), send twice, lose the
connection inside a call; meters that go back after a swap; clocks that are off; drivers who book and
never come. Tests turn them on; nothing does so by itself.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from evmesh.domain.units import Wh

_NOTHING: Final = Wh(0)


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What is wrong with one station or driver; the default is nothing."""

    new_message_id_on_retry: bool = False
    """A message that is sent again carries another id, the same content."""
    duplicate_every: int = 0
    """Every n-th transaction message is sent a second time after it was answered; 0 is never."""
    answer_delay_wall_ms: int = 0
    """How long an answer to the CSMS is held back."""
    drop_mid_call_every: int = 0
    """Every n-th call loses the connection after it is sent and before its answer is read; 0 is never."""
    register_goes_back: Wh = _NOTHING
    """Meter values (not start and stop) tell a register this much lower, every third time."""
    clock_skew: timedelta = timedelta(0)
    """Added to every timestamp the station writes."""
    rejects_remote_start: bool = False
    ignores_limits: bool = False
    """Accepts charging profiles and does not follow them."""
    never_plugs: bool = False
    """The driver pays and does not come."""
    never_stops: bool = False
    """The station accepts a remote stop and goes on."""
    withholds_vouchers: bool = False
    """A car that pays by streaming signs the first voucher and no more."""
    replays_vouchers: bool = False
    """It sends its first voucher again and again instead of new ones."""
    overpays: bool = False
    """It signs more than its budget."""


BEHAVES: Final = Misbehaviour()
