"""How late the event loop is: what holds it up holds up every shopper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.5


async def measure_lag(observe: Callable[[float], None], every_s: float = EVERY_S) -> None:
    """For ever: sleeps, and tells the seconds by which it was woken too late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        observe(max(0.0, loop.time() - due))
