"""Work behind an answer that was given already: one piece per key at a time, cancelled when the proxy stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Behind:
    """`name` is that of its tasks. What they raise is theirs to tell."""

    name: str
    _tasks: dict[Hashable, asyncio.Task[None]] = field(default_factory=dict)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    def begin(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless it is under way for `key`."""
        if key not in self._tasks:
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
