"""What is kept of drivers' tabs, and of the claims on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.chain import ClaimRow, RefillClaim, RefillsMined, SeenTab, SignedRefill, TabRef
from evmesh.domain.ids import Address, SessionId


class TabUnit(Protocol):
    """The part of a unit of work that knows tabs."""

    async def remember_tab(self, ref: TabRef, seen: SeenTab) -> None:
        """Keep what the chain said; what is remembered of a later block stays."""

    async def tab_seen(self, ref: TabRef) -> SeenTab | None:
        """Give what was seen last, as remembered."""

    async def keep_closing(self, ref: TabRef, epoch: int, deadline: int) -> None:
        """Keep that a Close of this epoch may be out; the latest deadline counts."""

    async def closing_until(self, ref: TabRef, epoch: int) -> int | None:
        """Give until which chain time, in seconds since 1970, a Close of this epoch may be mined.

        None where none was signed.
        """

    async def owed_on_tab(self, ref: TabRef, epoch: int) -> int:
        """Give the highest total that sessions on this tab have metered in an epoch; 0 for none."""

    async def has_flagged(self, payer: Address, flag: str, since: datetime) -> bool:
        """Tell whether a session of this payer that last moved at `since` or later carries the flag."""

    async def keep_refill(self, session: SessionId, refill: SignedRefill) -> None:
        """Keep the refill that came with a session's voucher, in place of one before."""

    async def refill_of(self, session: SessionId) -> SignedRefill | None: ...

    async def save_claim_row(self, row: ClaimRow) -> None:
        """Insert or replace a session's row."""

    async def claim_row(self, session: SessionId) -> ClaimRow | None: ...

    async def claim_rows(self, batch: str) -> Sequence[ClaimRow]:
        """Give all rows of one batch, in the order in which they are sent."""

    async def replace_document(self, session: SessionId, format: str, raw: bytes) -> None:
        """Keep another document in place of the one that was written."""


class RefillClaims(Protocol):
    """Claims that pull tabs up to a signed ceiling at the same time."""

    async def claim(self, claims: Sequence[RefillClaim], key: str) -> RefillsMined:
        """Claim for the operator; idempotent per `key`. Raises Refused `refill.nothing`."""
