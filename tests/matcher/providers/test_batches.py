from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from matcher.providers.batches import Batches


class Asked:
    """A call that waits until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.error = error
        self.may_answer = asyncio.Event()
        self.called = asyncio.Event()

    async def __call__(self, keys: Sequence[int]) -> Mapping[int, str]:
        self.batches.append(list(keys))
        self.called.set()
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return {key: f"of {key}" for key in keys if key != 404}


async def test_those_who_ask_together_share_a_call() -> None:
    call = Asked()
    call.may_answer.set()
    batches = Batches(call, 100)
    assert await asyncio.gather(*map(batches.ask, (1, 2, 404, 2))) == ["of 1", "of 2", None, "of 2"]
    assert call.batches == [[1, 2, 404]]


async def test_those_who_ask_while_a_call_runs_share_the_next() -> None:
    call = Asked()
    batches = Batches(call, 2)
    first = asyncio.create_task(batches.ask(1))
    await call.called.wait()
    later = [asyncio.create_task(batches.ask(key)) for key in (2, 3, 4)]
    await asyncio.sleep(0)
    call.may_answer.set()
    assert await asyncio.gather(first, *later) == ["of 1", "of 2", "of 3", "of 4"]
    assert call.batches == [[1], [2, 3], [4]]


async def test_an_error_is_that_of_all_who_share_the_call_and_of_nobody_else() -> None:
    call = Asked(LookupError("away"))
    call.may_answer.set()
    batches = Batches(call, 100)
    found = await asyncio.gather(batches.ask(1), batches.ask(2), return_exceptions=True)
    assert [str(each) for each in found] == ["away", "away"]
    call.error = None
    assert await batches.ask(1) == "of 1"


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    call = Asked()
    batches = Batches(call, 100)
    first, second = (asyncio.create_task(batches.ask(key)) for key in (1, 2))
    await call.called.wait()
    first.cancel()
    call.may_answer.set()
    assert await second == "of 2"
    with pytest.raises(asyncio.CancelledError):
        await first
