"""What is said of assets in public, by their owner."""

from collections.abc import Sequence
from typing import Protocol

from evmesh.domain.asset_status import StatusRecord
from evmesh.domain.chain import Mined
from evmesh.domain.channel_announcement import Announcement


class StatusBoard(Protocol):
    """`AssetStatus`, as one publisher; each call is sent once per `key`."""

    async def publish(self, records: Sequence[StatusRecord], key: str) -> Mined:
        """Say how assets are in a step: at most 200 of them."""

    async def set_states(self, area: int, step: int, states: Sequence[int], key: str) -> Mined:
        """Set the occupancy of an area; the step never goes back."""

    async def states(self, area: int, count: int) -> tuple[int, Sequence[int]]:
        """Read the step and the states of an area as they are."""

    async def name_assets(self, area: int, assets: Sequence[int], key: str) -> Mined | None:
        """Say which assets an area is about, in order; None where that is said already."""


class Announcer(Protocol):
    """`MessageBoard`, for stations of one account."""

    async def announce(self, announcement: Announcement, key: str) -> Mined:
        """Post it, once per `key`; Refused `announcement.not_the_owner`."""
