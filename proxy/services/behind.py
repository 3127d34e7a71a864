"""Work behind an answer that was given already: one piece per key at a time, cancelled when the proxy stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any

BEHIND_MOST = 400
"""More would not get budget in time: what is asked for again tries again, so that the popular comes first."""


@dataclass(slots=True)
class Behind:
    """`name` is that of its tasks. What they raise is theirs to tell."""

    name: str
    _tasks: dict[Hashable, asyncio.Task[None]] = field(default_factory=dict)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    def begin(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless it is under way for `key`, or too much is."""
        if key not in self._tasks and len(self._tasks) < BEHIND_MOST:
            task = asyncio.create_task(work(), name=self.name)
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def settled(self) -> None:
        """All that is under way has ended."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def stop(self) -> None:
        """It may wait long for budget: it is not waited for."""
        for task in self._tasks.values():
            task.cancel()
        await self.settled()
