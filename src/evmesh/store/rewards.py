"""What flexibility earned once a group's day is over, as rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from evmesh.domain.chain import Mined
from evmesh.domain.flex_voucher import EarnedReward, RewardDay, SignedFlexVoucher
from evmesh.domain.ids import Address, SessionId
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection


class RewardRows:
    """The part of a unit of work that knows final rewards."""

    _connection: SteadyConnection

    async def first_start(self, since: datetime) -> datetime | None:
        """Give when the first transaction at or after an instant began."""
        begun = schema.sessions.c.started_at
        rows = await self._connection.execute(select(begun).where(begun >= since).order_by(begun).limit(1))
        row = rows.first()
        return None if row is None else row[0]

    async def newest_final_day(self, group: str) -> RewardDay | None:
        """Give the last day of a group that is final."""
        table = schema.reward_days
        query = select(table).where(table.c.group == group).order_by(table.c.day.desc()).limit(1)
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else _day_of(row)

    async def final_day(self, group: str, day: str) -> RewardDay | None:
        """Give one day, where it is final."""
        table = schema.reward_days
        query = select(table).where(table.c.group == group, table.c.day == day)
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else _day_of(row)

    async def add_final_day(self, day: RewardDay) -> None:
        """Close a day; a second time the database refuses."""
        await self._connection.execute(
            insert(schema.reward_days).values(
                group=day.group,
                day=day.day,
                final_at=day.final_at,
                avoided=day.avoided,
                units=day.units,
                sessions=day.sessions,
            )
        )

    async def add_reward(self, reward: EarnedReward) -> None:
        """Keep a final reward, and the voucher for it where something was earned."""
        voucher = reward.voucher
        await self._connection.execute(
            insert(schema.rewards).values(
                session=reward.session.text,
                holder=reward.holder.text,
                flex=voucher.flex.text if voucher else "",
                group=reward.group,
                day=reward.day,
                units=reward.units,
                cumulative=reward.cumulative,
                certificate=reward.certificate,
                voucher=voucher.encode() if voucher else None,
                final_at=reward.final_at,
                is_made=voucher is None,
            )
        )

    async def rewarded(self, holder: Address, flex: Address) -> int:
        """Give how much of a token a holder has been rewarded in all: what the newest voucher says."""
        table = schema.rewards
        mine = (table.c.holder == holder.text) & (table.c.flex == flex.text)
        rows = await self._connection.execute(
            select(table.c.cumulative).where(mine).order_by(table.c.number.desc()).limit(1)
        )
        row = rows.first()
        return 0 if row is None else int(row[0])

    async def rewards_of(self, sessions: Sequence[SessionId]) -> Mapping[SessionId, EarnedReward]:
        """Give the final rewards among these sessions."""
        wanted = schema.rewards.c.session.in_([one.text for one in sessions])
        return {one.session: one for one in await self._rewards(wanted)}

    async def rewards_on(self, group: str, day: str) -> Sequence[EarnedReward]:
        """Give a final day's rewards in the order in which they were written."""
        table = schema.rewards
        return await self._rewards((table.c.group == group) & (table.c.day == day))

    async def unmade_rewards(self, limit: int) -> Sequence[EarnedReward]:
        """Give vouchers whose units are not known to be made, oldest first."""
        return await self._rewards(schema.rewards.c.is_made.is_(False), limit)

    async def reward_made(self, holder: Address, flex: Address, total: int, mined: Mined | None) -> None:
        """Note that all of a holder's rewards up to a total are made.

        Totals are texts in SQLite, so they are compared here.
        """
        table = schema.rewards
        mine = (table.c.holder == holder.text) & (table.c.flex == flex.text)
        made = [
            one.session.text
            for one in await self._rewards(mine & table.c.is_made.is_(False))
            if one.cumulative <= total
        ]
        await self._connection.execute(
            update(table)
            .where(table.c.session.in_(made))
            .values(
                is_made=True,
                tx_hash=mined.tx_hash if mined else None,
                block=mined.block if mined else None,
                gas_used=mined.gas_used if mined else None,
            )
        )

    async def _rewards(self, condition: Any, limit: int = 100_000) -> list[EarnedReward]:
        table = schema.rewards
        query = select(table).where(condition).order_by(table.c.number).limit(limit)
        return [_reward_of(row) for row in (await self._connection.execute(query)).mappings()]


def _day_of(row: RowMapping) -> RewardDay:
    return RewardDay(
        row["group"], row["day"], row["final_at"], int(row["avoided"]), int(row["units"]), row["sessions"]
    )


def _reward_of(row: RowMapping) -> EarnedReward:
    made = None
    if row["tx_hash"] is not None:
        made = Mined(row["tx_hash"], row["block"], row["gas_used"])
    return EarnedReward(
        session=SessionId.parse(row["session"]),
        holder=Address(row["holder"]),
        group=row["group"],
        day=row["day"],
        units=int(row["units"]),
        cumulative=int(row["cumulative"]),
        certificate=bytes(row["certificate"]),
        voucher=None if row["voucher"] is None else SignedFlexVoucher.parse(bytes(row["voucher"])),
        final_at=row["final_at"],
        is_made=row["is_made"],
        made=made,
    )
