"""Every fault as a client meets it, over real sockets."""

import asyncio
import gzip
import re
import time
import zlib

import aiohttp
import pytest

from tests.simulated_discogs import FAULT_KINDS, Catalogue, Fault, SimulatedDiscogs
from tests.simulated_discogs.faults import BADLY, INSTEAD, Faults, gzip_of_blanks

from .conftest import OWNER, Api

INVENTORY = "/users/vinyl_den/inventory"


def test_every_kind_is_known_to_one_of_the_tables() -> None:
    assert set(INSTEAD) | set(BADLY) == set(FAULT_KINDS)
    assert not set(INSTEAD) & set(BADLY)


# Which one strikes


def test_a_fault_strikes_so_many_times_and_only_where_meant() -> None:
    faults = Faults()
    faults.add(Fault("empty", path=re.compile(r"^/releases/"), method="GET", times=2))
    requests = [("GET", "/users/a"), ("POST", "/releases/1"), *[("GET", "/releases/1?a=b")] * 3]

    struck = [faults.strike(*request) is not None for request in requests]

    assert struck == [False, False, True, True, False]


def test_the_first_fault_that_is_left_strikes() -> None:
    faults = Faults()
    for kind in ("empty", "html"):
        faults.add(Fault("empty" if kind == "empty" else "html", times=1))

    struck = [faults.strike("GET", "/") for _ in range(3)]

    assert [fault.kind if fault else None for fault in struck] == ["empty", "html", None]


def test_a_probability_is_about_kept_and_the_same_for_a_seed() -> None:
    runs = []
    for _ in range(2):
        faults = Faults(seed=1)
        faults.add(Fault("empty", probability=0.3))
        runs.append([faults.strike("GET", "/") is not None for _ in range(1_000)])

    assert runs[0] == runs[1]
    assert 250 < sum(runs[0]) < 350


async def test_faults_can_be_cleared(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("html"))
    assert (await api.get("/")).status == 502
    discogs.clear_faults()
    assert (await api.get("/")).status == 200


# Answers in place of the real one


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        (Fault("status"), 500, "application/json", b'{"message":"Query time exceeded. Please try a simpler query."}'),
        (Fault("status", status=503), 503, "application/json", b'{"message":"Service temporarily unavailable."}'),
        (Fault("status", status=404, body=b"gone", content_type="text/plain"), 404, "text/plain", b"gone"),
        (Fault("html"), 502, "text/html; charset=UTF-8", b"<!DOCTYPE html>"),
        (Fault("html", status=200), 200, "text/html; charset=UTF-8", b"<!DOCTYPE html>"),
        (Fault("empty"), 200, "application/json", b""),
        (Fault("broken_json"), 200, "application/json", b'{"pagination": {"page": 1'),
        (Fault("rate_limited"), 429, "application/json", b'{"message":"You are making requests too quickly."}'),
        (Fault("rate_limited", body=b"\n"), 429, "application/json", b"\n"),
        (Fault("status", headers={"Retry-After": "7"}), 500, "application/json", b'{"message":'),
    ],
)
async def test_an_answer_is_replaced(
    api: Api, discogs: SimulatedDiscogs, fault: Fault, status: int, content_type: str, body: bytes
) -> None:
    discogs.add_fault(fault)
    seen = await api.get(INVENTORY)

    assert (seen.status, seen.headers["Content-Type"]) == (status, content_type)
    assert seen.body.startswith(body)
    assert bool(seen.body) == bool(body)
    assert seen.headers.get("Retry-After") == fault.headers.get("Retry-After")
    assert seen.headers["Server"] == "cloudflare"


async def test_the_call_is_noted_with_its_fault(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("html", times=1))
    await api.get("/")
    await api.get("/")

    assert [(call.status, call.fault) for call in discogs.calls] == [(502, "html"), (200, None)]


# The real one, sent badly


async def test_a_truncated_body_is_shorter_than_said(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("truncated"))

    with pytest.raises(aiohttp.ClientPayloadError):
        await api.get(INVENTORY)


async def test_a_bad_gzip_body_says_that_it_is_gzip(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("bad_gzip"))
    seen = await api.get(INVENTORY)

    assert seen.headers["Content-Encoding"] == "gzip"
    with pytest.raises(zlib.error):
        gzip.decompress(seen.body)


async def test_a_huge_body_comes_in_pieces(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("huge", size=20_000_000))
    size = 0
    async with api.session.get(INVENTORY) as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
            assert len(piece) < 5_000_000

    assert size == 20_000_000
    assert "Content-Length" not in answer.headers


async def test_a_client_may_leave_a_huge_body(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("huge", times=1))
    async with api.session.get(INVENTORY) as answer:
        await answer.content.readexactly(10_000)
        answer.close()

    assert (await api.get("/")).status == 200


async def test_a_gzip_bomb_is_small_on_the_wire_even_when_no_gzip_was_asked(
    api: Api, discogs: SimulatedDiscogs
) -> None:
    discogs.add_fault(Fault("gzip_bomb", size=50_000_000))
    seen = await api.get(INVENTORY)

    assert seen.headers["Content-Encoding"] == "gzip"
    assert len(seen.body) < 100_000
    assert len(gzip.decompress(seen.body)) == 50_000_000


def test_a_bomb_is_valid_gzip() -> None:
    assert gzip.decompress(b"".join(gzip_of_blanks(3))) == b" " * 3_000_000


@pytest.mark.parametrize("kind", ["slow_headers", "slow_body"])
async def test_a_slow_answer_is_whole_in_the_end(api: Api, discogs: SimulatedDiscogs, kind: str) -> None:
    plain = await api.get(INVENTORY)
    discogs.add_fault(Fault("slow_headers" if kind == "slow_headers" else "slow_body", delay_s=0.3))

    started = time.perf_counter()
    async with api.session.get(INVENTORY) as answer:
        headers_after = time.perf_counter() - started
        body = await answer.read()
    whole_after = time.perf_counter() - started

    assert body == plain.body
    assert whole_after >= 0.3
    assert (headers_after >= 0.3) == (kind == "slow_headers")


async def test_a_connection_is_reset_before_the_headers(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("reset_before_headers"))

    with pytest.raises((ConnectionResetError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await api.get(INVENTORY)
    assert discogs.calls[-1].status is None


async def test_a_connection_is_reset_within_the_body(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault("reset_after_headers"))

    async with api.session.get(INVENTORY) as answer:
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError, ConnectionResetError)):
            await answer.read()


async def test_a_silent_server_never_answers_but_lets_itself_be_stopped(catalogue: Catalogue) -> None:
    async with SimulatedDiscogs(catalogue) as discogs, aiohttp.ClientSession(discogs.url) as session:
        discogs.add_fault(Fault("silent"))
        with pytest.raises(TimeoutError):
            await session.get("/", timeout=aiohttp.ClientTimeout(total=0.1))
        waiting = asyncio.create_task(session.get("/"))
        while len(discogs.calls) < 2:
            await asyncio.sleep(0)
        started = time.perf_counter()
        await discogs.stop()

        assert time.perf_counter() - started < 3
        with pytest.raises(aiohttp.ClientError):
            await waiting


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("reset_after_headers", True),
        ("reset_in_headers", True),
        ("truncated", True),
        ("short_length", True),
        ("reset_before_headers", False),
    ],
)
async def test_an_answer_lost_after_the_write_has_written(
    api: Api, discogs: SimulatedDiscogs, catalogue: Catalogue, kind: str, written: bool
) -> None:
    listing = catalogue.for_sale("vinyl_den")[0]
    fault = next(Fault(known) for known in FAULT_KINDS if known == kind)
    discogs.add_fault(fault)

    given = {"release_id": listing.release_id, "condition": "Mint (M)", "price": 1.0, "status": "For Sale"}
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await api.ask("POST", "/marketplace/listings", json=given, Authorization=OWNER)

    assert len(catalogue.for_sale("vinyl_den")) == 120 + written
