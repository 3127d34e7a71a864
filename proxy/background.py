"""Background tasks that are watched: one that dies is restarted with backoff, counted and shown in /readyz."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import structlog

BACKOFF_S = (0.5, 2.0, 10.0, 60.0)
STEADY_S = 300.0
"""What worked so long and then died is begun again as soon as at first."""

log = structlog.get_logger()


@dataclass(slots=True)
class Health:
    """What is degraded now, by name, and how often each background task was restarted, 0 included."""

    degraded: dict[str, str] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def running(name: str, work: Callable[[], Awaitable[None]], health: Health) -> AsyncIterator[None]:
    """`work` runs while the context is open, and is cancelled and awaited at its end."""
    health.restarts[name] = 0
    task = asyncio.create_task(_watched(name, work, health), name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watched(name: str, work: Callable[[], Awaitable[None]], health: Health) -> None:
    failures = 0
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception as error:
            log.exception("background task died", task=name)
            health.degraded[name] = f"died: {type(error).__name__}"
            health.restarts[name] = health.restarts.get(name, 0) + 1
            failures = 0 if time.monotonic() - began >= STEADY_S else failures
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1
            health.degraded.pop(name, None)
        else:
            return
