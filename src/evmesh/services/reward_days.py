"""When a group's day is over its rewards become final, once, and are paid in FLEX.

A day is over when local midnight has passed and every charge that began on it is metered, or two days
later: what is not metered then has no part in it, and earns nothing. Then all of its rewards are computed,
signed and stored together with a voucher for each, in one database transaction: a crash leaves all of it
or none. The vouchers are cumulative, so that having the units made
may fail, be done by the driver, or be done twice, and nothing is paid twice or lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.domain.flex_voucher import EarnedReward, RewardDay, SignedFlexVoucher, flex_domain
from evmesh.domain.ids import Address
from evmesh.domain.reward import Reward, certificate_of
from evmesh.domain.sessions import PLUGGED, Session, State
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.typed_data import digest
from evmesh.ports import Clock, FlexIssuer, Signatures, Unit
from evmesh.services.directory import Directory, Group, Operator
from evmesh.services.receipts import Receipts
from evmesh.services.registers import CLOCK_SKEW
from evmesh.services.rewards import RewardBook, bounds_of
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)

EVERY: Final = timedelta(minutes=10)
AFTER_MIDNIGHT: Final = timedelta(minutes=30)
"""How long after midnight a day is first looked at: a station's clock may be off by some minutes."""

AT_LATEST: Final = timedelta(hours=48)
"""How long after midnight a day waits for charges that are not metered; a stay may be a week."""

MOST_ROWS: Final = 200
"""Vouchers in one transaction."""

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAY_BEGIN: Final = frozenset({State.RESERVED, State.FUNDED, State.STARTING})


class RewardDays:
    """Runs until cancelled."""

    name = "rewards"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        directory: Directory,
        book: RewardBook,
        receipts: Receipts,
        operator: Operator,
        signatures: Signatures,
        issuer: FlexIssuer,
        zone: tzinfo,
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._directory = directory
        self._book = book
        self._receipts = receipts
        self._operator = operator
        self._signatures = signatures
        self._issuer = issuer
        self._zone = zone

    async def run(self) -> None:
        """Close what is over and pay what is due, for ever."""
        while True:
            await self.close_days()
            await self.pay()
            await self._clock.sleep_until(self._clock.now() + EVERY)

    async def close_days(self) -> None:
        """Make every day final that is over, of every group, oldest first."""
        for group in self._directory.groups.values():
            try:
                while await self._close_next(group):
                    pass
            except EvmeshError as error:
                _log.error("rewards.not_closed", group=group.name, code=error.code, what=error.what)

    async def pay(self) -> None:
        """Have units made for what is due. What does not fit under the issuer's cap stays due."""
        flex = self._operator.contracts.flex
        async with self._transitions.read() as unit:
            rows = await unit.unmade_rewards(10_000)
        newest = {row.holder: row.voucher for row in rows if row.voucher and row.voucher.flex == flex}
        due = list(newest.values())
        for first in range(0, len(due), MOST_ROWS):
            try:
                await self._pay_batch(due[first : first + MOST_ROWS])
            except EvmeshError as error:
                _log.warning("rewards.not_paid", code=error.code, what=error.what)  # tried again soon

    async def _close_next(self, group: Group) -> bool:
        """Close the group's next day; False where none is over."""
        async with self._transitions.begin() as work:
            midnight = await self._next_day(work.unit, group)
            if midnight is None or not await self._is_over(work, group, midnight):
                return False
            rewards = await self._book.day_so_far(work.unit, group, midnight)
            for reward in rewards:
                await self._keep(work, reward)
            day = RewardDay(
                group=group.name,
                day=f"{midnight:%Y-%m-%d}",
                final_at=work.now,
                avoided=rewards[0].avoided if rewards else 0,
                units=sum(reward.reward for reward in rewards),
                sessions=len(rewards),
            )
            await work.unit.add_final_day(day)
            self._transitions.checkpoint("reward_day:before_commit")
        self._transitions.checkpoint("reward_day:after_commit")
        _log.info("rewards.final", group=day.group, day=day.day, sessions=day.sessions, units=day.units)
        return True

    async def _next_day(self, unit: Unit, group: Group) -> datetime | None:
        """Give the midnight of the first day after the newest final one on which anything began."""
        newest = await unit.newest_final_day(group.name)
        since = _BEGINNING
        if newest is not None:
            since = bounds_of(self._midnight(datetime.fromisoformat(newest.day)))[1]
        first = await unit.first_start(since)
        return None if first is None else self._midnight(first.astimezone(self._zone))

    def _midnight(self, day: datetime) -> datetime:
        return datetime.combine(day.date(), time(), self._zone)

    async def _is_over(self, work: Work, group: Group, midnight: datetime) -> bool:
        ends = bounds_of(midnight)[1]
        if work.now < ends + AFTER_MIDNIGHT:
            return False
        if work.now >= ends + AT_LATEST:
            return True  # what is not metered by now has no part in it: nobody keeps the others waiting
        here = {place.connector.ref for place in group.places}
        return not any(
            session.terms.connector in here and _may_count(session, ends)
            for session in await work.unit.sessions(open_only=True)
        )

    async def _keep(self, work: Work, reward: Reward) -> None:
        raw = self._receipts.sign(reward)
        await work.unit.save_document(reward.session, Reward.FORMAT, raw)
        certificate = certificate_of(raw)
        voucher = None
        if reward.reward:
            voucher = self._voucher(reward.holder, reward.cumulative, certificate)
            await work.unit.save_document(reward.session, SignedFlexVoucher.FORMAT, voucher.encode())
        await work.unit.add_reward(
            EarnedReward(
                session=reward.session,
                holder=reward.holder,
                group=reward.group,
                day=reward.day,
                units=reward.reward,
                cumulative=reward.cumulative,
                certificate=certificate,
                voucher=voucher,
                final_at=work.now,
            )
        )

    def _voucher(self, holder: Address, cumulative: int, certificate: bytes) -> SignedFlexVoucher:
        contracts = self._operator.contracts
        voucher = FlexVoucher(holder, cumulative, certificate)
        unsigned = SignedFlexVoucher(contracts.chain_id, contracts.flex, voucher, b"")
        signed = digest(flex_domain(contracts.chain_id, contracts.flex), voucher, self._signatures.keccak256)
        return replace(unsigned, signature=self._operator.payee.sign(signed))

    async def _pay_batch(self, vouchers: Sequence[SignedFlexVoucher]) -> None:
        holders = [one.voucher.holder for one in vouchers]
        before = await self._issuer.made(holders)
        due = [one for one, made in zip(vouchers, before, strict=True) if one.voucher.cumulative > made]
        self._transitions.checkpoint("flex:before_send")
        mined = await self._issuer.mint(due) if due else None
        self._transitions.checkpoint("flex:after_send")
        after = await self._issuer.made(holders) if due else before
        async with self._transitions.begin() as work:
            for one, holder, made in zip(vouchers, holders, after, strict=True):
                await work.unit.reward_made(holder, one.flex, made, mined if one in due else None)


def _may_count(session: Session, ends: datetime) -> bool:
    """Tell whether an open session began before `ends` and is not metered yet, or may turn out to have."""
    if session.state in PLUGGED:
        return session.started_at is not None and session.started_at < ends
    return session.state in _MAY_BEGIN and session.created_at < ends + CLOCK_SKEW
