"""How a process of ours runs: on uvloop, until a signal, with logs as JSON lines."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop


def run_until_signal(work: Coroutine[Any, Any, None]) -> bool:
    """Run on uvloop until it ends, or until SIGINT or SIGTERM cancels it: then give True."""

    async def run() -> bool:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        stopped = False

        def stop() -> None:
            nonlocal stopped
            if not stopped and task is not None:
                stopped = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            await work
        except asyncio.CancelledError:
            if not stopped:
                raise
        return stopped

    return uvloop.run(run())


def log_json() -> None:
    """Write logs as JSON lines on stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
