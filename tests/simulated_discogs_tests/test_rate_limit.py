"""The limit per source address and its unreliable counters."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs
from tests.simulated_discogs.rate_limit import RateLimit, most_within

from .conftest import ALICE, Api


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def discogs(catalogue: Catalogue, clock: Clock) -> AsyncIterator[SimulatedDiscogs]:
    async with SimulatedDiscogs(catalogue, rate_limit=60, clock=clock) as running:
        running.register_user("alice", "alice-token")
        yield running


async def test_the_identified_have_sixty_a_minute_the_anonymous_twenty_five(api: Api, clock: Clock) -> None:
    anonymous = [(await api.get("/")).status for _ in range(26)]
    assert anonymous == [200] * 25 + [429]

    identified = [(await api.get("/", Authorization=ALICE)).status for _ in range(36)]
    assert identified == [200] * 35 + [429]


async def test_the_window_moves(api: Api, clock: Clock) -> None:
    for _ in range(25):
        await api.get("/")
        clock.now += 1

    assert (await api.get("/")).status == 429
    clock.now += 36
    assert [(await api.get("/")).status for _ in range(3)] == [200, 200, 429]


async def test_a_refusal_has_one_of_two_bodies_and_neither_advice_nor_cors(api: Api, discogs: SimulatedDiscogs) -> None:
    refused = [await api.get("/", Origin="https://shop.example") for _ in range(45)][25:]

    assert {seen.body for seen in refused} == {b'{"message":"You are making requests too quickly."}', b"\n"}
    for seen in refused:
        assert seen.headers["Server"] == "cloudflare"
        assert seen.headers["X-Discogs-Ratelimit-Remaining"] == "0"
        assert not {"Retry-After", "Access-Control-Allow-Origin"} & set(seen.headers)
    assert (len(discogs.refused), discogs.most_calls_within(60)) == (20, 45)


async def test_counters_lag_and_are_not_monotonic_though_the_limit_is_exact(api: Api) -> None:
    seen = [await api.get("/", Authorization=ALICE) for _ in range(30)]
    used = [int(answer.headers["X-Discogs-Ratelimit-Used"]) for answer in seen]
    left = [int(answer.headers["X-Discogs-Ratelimit-Remaining"]) for answer in seen]

    assert used[0] == 0
    assert used != sorted(used)
    assert max(used) < 30
    assert all(a + b == 60 for a, b in zip(used, left, strict=True))
    assert {answer.headers["X-Discogs-Ratelimit"] for answer in seen} == {"60"}


async def test_every_answer_carries_the_trio_also_refusals_of_the_api(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("status", times=1))
    for path in ("/releases/1", "/releases/1", "/oauth/identity"):
        seen = await api.get(path)
        assert seen.status >= 400
        assert seen.headers["X-Discogs-Ratelimit"] == "25"


async def test_a_refused_token_still_has_the_higher_limit(api: Api) -> None:
    seen = await api.get("/", Authorization="Discogs token=wrong")

    assert (seen.status, seen.headers["X-Discogs-Ratelimit"]) == (401, "60")


async def test_switched_off_there_are_neither_limit_nor_headers(catalogue: Catalogue) -> None:
    async with SimulatedDiscogs(catalogue) as free, aiohttp.ClientSession(free.url) as session:
        answers = [await session.get("/") for _ in range(70)]

    assert {answer.status for answer in answers} == {200}
    assert not any("X-Discogs-Ratelimit" in answer.headers for answer in answers)


@given(gaps=st.lists(st.floats(0, 30), max_size=200), seed=st.integers(0, 50))
def test_never_more_than_the_limit_is_admitted_within_a_minute(gaps: list[float], seed: int) -> None:
    limit, now, admitted = RateLimit(10, 5, seed), 0.0, []
    for gap in gaps:
        now += gap
        standing = limit.take("1.2.3.4", has_credential=True, now=now)
        assert 0 <= standing.used <= 10
        if standing.allowed:
            admitted.append(now)

    assert most_within(admitted) <= 10


def test_each_source_has_its_own_minute() -> None:
    limit = RateLimit(1, 1)

    assert limit.take("a", has_credential=True, now=0).allowed
    assert limit.take("b", has_credential=True, now=0).allowed
    assert not limit.take("a", has_credential=True, now=59.9).allowed
    assert limit.take("a", has_credential=True, now=60).allowed


def test_the_most_within_a_window_is_found_wherever_it_lies() -> None:
    assert most_within([]) == 0
    assert most_within([0, 59.9, 60, 61, 119]) == 4
    assert most_within([100, 0, 160]) == 1
