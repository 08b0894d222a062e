"""What flexibility earned: the issuer's token, and the rows that say what is final."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.chain import Mined
from evmesh.domain.flex_voucher import EarnedReward, RewardDay, SignedFlexVoucher
from evmesh.domain.ids import Address, SessionId


class FlexIssuer(Protocol):
    """`FlexToken`: units that an issuer has promised, made against its vouchers by anybody."""

    async def made(self, holders: Sequence[Address]) -> list[int]:
        """Read how many units were ever made for each."""

    async def mint(self, vouchers: Sequence[SignedFlexVoucher]) -> Mined:
        """Have units made for up to 200 vouchers; sent once for what they make now, through any crash.

        Raises Refused `flex.cap_reached`, `flex.stale` … after the first row where none makes anything.
        """

    async def redeem(self, voucher: SignedFlexVoucher) -> Mined:
        """Relay one voucher for its holder, who has no gas; counted against the holder's quota.

        Raises Refused `flex.not_the_issuer`, `flex.stale`, `flex.cap_reached`, `relay.too_many`.
        """


class FlexBurner(Protocol):
    """Ends promises that were kept: FLEX that came back as payment is no promise any more."""

    async def burn_up_to(self, received: int) -> Mined | None:
        """Destroy what the operator has received in all, less what was destroyed before; None for nothing.

        Idempotent for the same `received`, through any crash; raises Refused with the token's reason.
        """


class RewardUnit(Protocol):
    """The part of a database transaction that knows final rewards."""

    async def first_start(self, since: datetime) -> datetime | None:
        """When the first transaction at or after an instant began."""

    async def newest_final_day(self, group: str) -> RewardDay | None: ...

    async def final_day(self, group: str, day: str) -> RewardDay | None: ...

    async def add_final_day(self, day: RewardDay) -> None:
        """Close a day, once."""

    async def add_reward(self, reward: EarnedReward) -> None: ...

    async def rewarded(self, holder: Address, flex: Address) -> int:
        """How much of a token a holder has been rewarded in all."""

    async def rewards_of(self, sessions: Sequence[SessionId]) -> Mapping[SessionId, EarnedReward]: ...

    async def rewards_on(self, group: str, day: str) -> Sequence[EarnedReward]: ...

    async def unmade_rewards(self, limit: int) -> Sequence[EarnedReward]:
        """Vouchers whose units are not known to be made, oldest first."""

    async def reward_made(self, holder: Address, flex: Address, total: int, mined: Mined | None) -> None:
        """Note that all of a holder's rewards up to a total are made."""
