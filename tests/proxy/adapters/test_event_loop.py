from __future__ import annotations

import asyncio
import time

from proxy.adapters.event_loop import measure_lag


async def test_what_holds_up_the_event_loop_is_told() -> None:
    told: asyncio.Queue[float] = asyncio.Queue()
    measuring = asyncio.create_task(measure_lag(told.put_nowait, every_s=0.01))
    await told.get()  # it sleeps again from now on
    time.sleep(0.1)  # noqa: ASYNC251 - what it is to find
    assert await told.get() >= 0.05
    measuring.cancel()
