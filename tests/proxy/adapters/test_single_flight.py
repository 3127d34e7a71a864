from __future__ import annotations

import asyncio

import pytest

from proxy.adapters.single_flight import SingleFlight


class Work:
    """Runs until it is told how to end, and counts."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            return await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def begin(flights: SingleFlight[str], work: Work, callers: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(flights.join("key", work)) for _ in range(callers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_hundred_callers_make_one_call() -> None:
    work = Work()
    tasks = await begin(SingleFlight(), work, 100)
    work.end.set_result("answer")
    assert await asyncio.gather(*tasks) == ["answer"] * 100
    assert work.begun == 1


async def test_a_failure_is_shared_as_well() -> None:
    work = Work()
    tasks = await begin(SingleFlight(), work, 20)
    work.end.set_exception(ValueError("broken"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, ValueError) for each in results)
    assert work.begun == 1


async def test_a_leader_that_goes_away_leaves_the_others_undisturbed() -> None:
    work = Work()
    leader, *others = await begin(SingleFlight(), work, 3)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    work.end.set_result("answer")
    assert await asyncio.gather(*others) == ["answer"] * 2
    assert work.begun == 1


async def test_with_the_last_caller_the_work_is_cancelled_and_the_next_one_begins_anew() -> None:
    flights: SingleFlight[str] = SingleFlight()
    work = Work()
    tasks = await begin(flights, work, 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    again = await begin(flights, work, 1)
    work.end.set_result("answer")
    assert await again[0] == "answer"
    assert (work.begun, work.cancelled) == (2, 1)


async def test_nothing_is_remembered_of_a_flight_that_ended() -> None:
    flights: SingleFlight[str] = SingleFlight()
    for answer in ("one", "two"):
        work = Work()
        work.end.set_result(answer)
        assert await flights.join("key", work) == answer


async def test_other_keys_are_other_flights() -> None:
    flights: SingleFlight[str] = SingleFlight()
    work = Work()
    work.end.set_result("answer")
    await asyncio.gather(flights.join("one", work), flights.join("two", work))
    assert work.begun == 2
