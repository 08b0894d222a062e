"""A database connection whose statements are never left half done.

A cancelled `await` would abandon a statement that the driver's thread still runs: a BEGIN that
nobody ends keeps every other writer out for as long as the process lives. So a cancellation waits
until the statement has ended, a few milliseconds, and is raised then.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end; a cancellation meanwhile is raised after it."""
    task = asyncio.ensure_future(work)  # noqa: TID251 - awaited below whatever comes, so no error is lost
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # looked at: the cancellation is what the caller hears
    raise cancelled


class SteadyConnection:
    """One open database transaction, statement by statement; knows whether anything was written."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.has_written = False

    async def execute(self, statement: Executable) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement."""
        self.has_written |= not statement.is_select
        return await to_its_end(self._connection.execute(statement))
