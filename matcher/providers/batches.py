"""Questions that come while a call runs share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

GATHERING_S = 0.05
"""How long a first question waits for others: jobs are claimed together."""


@dataclass(slots=True)
class Batches(Generic[Answer]):
    """One call at a time, with up to `most` questions. An error of a call is that of all who share it."""

    call: Callable[[Sequence[int]], Awaitable[Mapping[int, Answer]]]
    most: int
    _waiting: dict[int, asyncio.Future[Answer | None]] = field(default_factory=dict, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def ask(self, key: int) -> Answer | None:
        """None: the call's answer says nothing of it. Raises what the call raises."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            # Nobody may be left who asks, but the error was then for nobody.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        await asyncio.sleep(GATHERING_S)
        while self._waiting:
            keys = list(self._waiting)[: self.most]
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                answers = await self.call(keys)
            except Exception as error:  # noqa: BLE001 - it is handed to those who asked
                for future in batch.values():
                    future.set_exception(error)
            except BaseException:
                for future in (*batch.values(), *self._waiting.values()):
                    future.cancel()
                self._waiting.clear()
                raise
            else:
                for key, future in batch.items():
                    future.set_result(answers.get(key))
