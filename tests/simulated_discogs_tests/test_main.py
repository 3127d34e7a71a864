"""The simulated Discogs as a program of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.simulated_discogs.__main__ import arguments, stores


async def started(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simulated_discogs", "--port", "0", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    yield process, line.split()[-1]
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.fixture
async def program() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    async for running in started("--stores", "den=150,shop=3", "--public-origin", "self", "--latency-ms", "1"):
        yield running


async def test_it_serves_the_stores_it_was_told_and_stops_when_asked(
    program: tuple[asyncio.subprocess.Process, str],
) -> None:
    process, url = program
    path = "/users/den/inventory?token=shopper-token"
    async with aiohttp.ClientSession(url) as session, session.get(path) as answer:
        body = await answer.json()
    process.send_signal(signal.SIGTERM)

    assert body["pagination"]["items"] == 150
    assert body["pagination"]["urls"]["next"].startswith(url)
    assert answer.headers["X-Discogs-Ratelimit"] == "60"
    assert await asyncio.wait_for(process.wait(), 10) == 0


def test_options_have_defaults() -> None:
    options = arguments([])

    assert (options.port, options.seed, options.rate_limit, options.churn_per_hour) == (8090, 1, 60, 0)
    assert options.stores == {"vinyl_den": 3000, "small_shop": 120}


@pytest.mark.parametrize("text", ["den", "den=", "=3", "den=many", "den=3,", ""])
def test_a_wrong_list_of_stores_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="is not a list like"):
        stores(text)


def test_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--help"])

    shown = capsys.readouterr().out
    for option in ("--port", "--seed", "--stores", "--latency-ms", "--rate-limit", "--churn-per-hour"):
        assert option in shown
