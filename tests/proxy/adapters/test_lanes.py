from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from matcher.database import Database
from proxy.adapters.budget_log import BudgetLog
from proxy.adapters.database import connected
from proxy.adapters.lanes import Lanes
from proxy.domain.budget import WINDOW_S, Budget, Errand, Lane, Reservation
from proxy.errors import BudgetExhausted
from tests.relay import relayed

SOON_S = 0.05


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def lanes_of(limit: int, log: BudgetLog | None = None, clock: Clock | None = None) -> AsyncIterator[Lanes]:
    lanes = Lanes(Budget.starting(limit), log, clock or Clock())
    yield lanes
    await lanes.stop()


async def reserve(lanes: Lanes, lane: Lane = Lane.SHOPPER, within_s: float = SOON_S) -> Reservation:
    return await lanes.reserve(Errand(lane), identified=True, until=lanes.clock() + within_s)


async def reserved(lanes: Lanes, times: int) -> list[Reservation]:
    return [await reserve(lanes, within_s=5) for _ in range(times)]


async def test_who_gets_nothing_is_refused_at_the_deadline_and_told_when_to_come_again() -> None:
    async with lanes_of(1) as lanes:
        lanes.release(await reserve(lanes))
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(BudgetExhausted) as refused:
            await reserve(lanes)
        assert loop.time() - began >= SOON_S * 0.9
        assert refused.value.retry_after_s == pytest.approx(WINDOW_S)


async def test_waiters_go_in_the_order_of_their_arrival() -> None:
    clock = Clock()
    async with lanes_of(2, clock=clock) as lanes:
        held = await reserved(lanes, 2)
        order: list[int] = []

        async def wait(number: int) -> None:
            await reserve(lanes, within_s=5)
            order.append(number)

        tasks = [asyncio.create_task(wait(number)) for number in range(2)]
        await asyncio.sleep(0)
        for each in held:
            lanes.release(each)
        clock.now += WINDOW_S
        lanes.release(Reservation(Lane.SHOPPER, clock.now))  # any end of a call lets them look again
        await asyncio.gather(*tasks)
        assert order == [0, 1]


async def test_shoppers_go_before_background_work_that_came_earlier() -> None:
    clock = Clock()
    async with lanes_of(3, clock=clock) as lanes:
        held = await reserved(lanes, 3)
        order: list[Lane] = []

        async def wait(lane: Lane) -> None:
            await reserve(lanes, lane, within_s=5)
            order.append(lane)

        tasks = [asyncio.create_task(wait(lane)) for lane in (Lane.REFRESH, Lane.SHOPPER)]
        await asyncio.sleep(0)
        for each in held:
            lanes.release(each)
        clock.now += WINDOW_S
        lanes.release(Reservation(Lane.SHOPPER, clock.now))
        await asyncio.gather(*tasks)
        assert order == [Lane.SHOPPER, Lane.REFRESH]


async def test_what_a_shopper_comes_to_wait_for_goes_as_his() -> None:
    clock = Clock()
    async with lanes_of(6, clock=clock) as lanes:
        await reserve(lanes, Lane.CHECK)  # the next one of its kind goes later, a shopper's at once
        errand = Errand(Lane.CHECK)
        waiting = asyncio.create_task(lanes.reserve(errand, identified=True, until=clock.now + 5))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert lanes.by_lane()[Lane.CHECK] == (1, 1)
        lanes.hurry(errand)
        assert (await waiting).lane is Lane.SHOPPER


async def test_what_many_shoppers_wait_for_keeps_the_share_of_its_lane() -> None:
    clock = Clock()
    async with lanes_of(15, clock=clock) as lanes:
        held = await reserved(lanes, 15)
        crowd = [asyncio.create_task(reserve(lanes, within_s=5)) for _ in range(20)]
        await asyncio.sleep(0)
        awaited = asyncio.create_task(
            lanes.reserve(Errand(Lane.CHECK, is_awaited=True), identified=True, until=clock.now + 5)
        )
        await asyncio.sleep(0)
        for each in held:
            lanes.release(each)
        clock.now += WINDOW_S
        lanes.release(Reservation(Lane.SHOPPER, clock.now))
        assert (await awaited).lane is Lane.CHECK
        for shopper in crowd:
            shopper.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_a_waiter_that_was_cancelled_costs_nothing() -> None:
    clock = Clock()
    async with lanes_of(1, clock=clock) as lanes:
        held = await reserve(lanes)
        left, stays = (asyncio.create_task(reserve(lanes, within_s=5)) for _ in range(2))
        await asyncio.sleep(0)
        clock.now += 2 * WINDOW_S
        lanes.release(held)
        clock.now += WINDOW_S
        lanes.release(Reservation(Lane.SHOPPER, clock.now))
        left.cancel()
        await stays
        assert left.cancelled() or left.done()
        assert lanes.budget.remaining(True, clock.now) == 0


async def test_a_reservation_given_in_the_moment_of_cancelling_is_given_back() -> None:
    """The future was resolved, but its task had not yet run when it was cancelled."""
    clock = Clock()
    async with lanes_of(1, clock=clock) as lanes:
        lanes.release(await reserve(lanes))
        waiting = asyncio.create_task(reserve(lanes, within_s=5))
        await asyncio.sleep(0)
        clock.now += WINDOW_S
        admitted = lanes._take()
        assert not isinstance(admitted, float)
        lanes._hand(admitted)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert await reserve(lanes)


# --- shared by several processes ----------------------------------------------------------------------------------


async def test_processes_of_one_group_share_one_budget(database: Database) -> None:
    clock = Clock()
    async with (
        lanes_of(3, BudgetLog(database, "ip"), clock) as one,
        lanes_of(3, BudgetLog(database, "ip"), Clock()) as other,
        lanes_of(3, BudgetLog(database, "another ip"), clock) as elsewhere,
    ):
        await reserved(one, 2)
        await reserved(other, 1)
        for lanes in (one, other):
            with pytest.raises(BudgetExhausted):
                await reserve(lanes, within_s=0.3)
        await reserved(elsewhere, 3)


async def test_what_a_killed_process_has_called_still_counts(database: Database) -> None:
    async with lanes_of(2, BudgetLog(database, "ip")) as killed:
        await reserved(killed, 1)
    async with lanes_of(2, BudgetLog(database, "ip")) as successor:
        await reserved(successor, 1)
        with pytest.raises(BudgetExhausted):
            await reserve(successor, within_s=0.3)


async def test_calls_that_ended_a_minute_ago_are_gone_from_the_log(database: Database) -> None:
    async with lanes_of(2, BudgetLog(database, "ip")) as one:
        for each in await reserved(one, 2):
            one.release(each)
    async with database.connection() as connection:
        await connection.execute("UPDATE budget_calls SET ended_at = ended_at - interval '61 seconds'")
    async with lanes_of(2, BudgetLog(database, "ip")) as other:
        await reserved(other, 2)
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM budget_calls") == 2


async def test_many_processes_at_once_never_exceed_the_limit(database: Database) -> None:
    async with contextlib.AsyncExitStack() as stack:
        all_lanes = [
            await stack.enter_async_context(lanes_of(10, BudgetLog(database, "ip"), Clock())) for _ in range(4)
        ]
        asked = [reserve(lanes, within_s=1.0) for lanes in all_lanes for _ in range(8)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Reservation) for each in results) == 10
        assert all(isinstance(each, Reservation | BudgetExhausted) for each in results)


async def test_without_the_database_each_keeps_to_its_part_and_afterwards_tells_what_it_did(database_dsn: str) -> None:
    async with (
        relayed(database_dsn) as wire,
        connected(wire.dsn, connections=3) as database,
        lanes_of(4, BudgetLog(database, "ip"), Clock()) as one,
        lanes_of(4, BudgetLog(database, "ip"), Clock()) as other,
    ):
        await reserved(one, 1)
        await reserved(other, 1)
        await wire.cut()
        [offline] = await reserved(other, 1)
        with pytest.raises(BudgetExhausted):
            await reserve(other, within_s=1.0)
        await wire.restore()
        other.release(offline)
        assert other._telling
        await other._telling
        await reserved(one, 1)
        with pytest.raises(BudgetExhausted):
            await reserve(one, within_s=0.5)


class Wall(Clock):
    """Time that passes by itself, and faster when a test wants it."""

    def __call__(self) -> float:
        return self.now + asyncio.get_running_loop().time()


async def test_who_has_nothing_of_his_own_to_end_still_sees_that_the_others_have_ended(database: Database) -> None:
    async with (
        lanes_of(2, BudgetLog(database, "ip"), Wall()) as one,
        lanes_of(2, BudgetLog(database, "ip"), Wall()) as other,
    ):
        running = await reserved(one, 2)
        with pytest.raises(BudgetExhausted):
            await reserve(other, within_s=0.2)
        for each in running:
            one.budget.give_back(each)
        one._tell_others(running[0])
        assert await reserve(other, within_s=5)


async def test_a_log_that_fails_in_an_unforeseen_way_serves_nobody_worse(database: Database) -> None:
    async with lanes_of(3, BudgetLog(database, "ip")) as lanes:
        await reserved(lanes, 1)
        async with database.connection() as connection:
            await connection.execute("DROP TABLE budget_calls")
        for each in await reserved(lanes, 2):
            lanes.release(each)  # and stopping is not disturbed by what could not be told
        with pytest.raises(BudgetExhausted):
            await reserve(lanes, within_s=0.3)


async def test_a_log_that_somebody_holds_delays_nobody_for_long(database: Database) -> None:
    async with lanes_of(3, BudgetLog(database, "ip")) as lanes, database.transaction() as connection:
        await connection.execute("LOCK TABLE budget_calls IN ACCESS EXCLUSIVE MODE")
        await reserved(lanes, 3)
