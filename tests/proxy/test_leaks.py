"""Nobody sees what is not theirs: callers of every kind ask for everything at once, in any order.

The oracle is what the simulated Discogs says to that very caller when he asks it himself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy import keys
from proxy.adapters.responses import FILE_NAME
from proxy.settings import Settings
from tests.conftest import STORE, Proxy, running_proxy
from tests.fresh_databases import FreshDatabases
from tests.proxy.crowd import (
    CREDENTIALS,
    MARKER,
    OPERATORS_APP,
    OWNER,
    SHOP,
    WRONG,
    Probe,
    Who,
    callers,
    populated,
    probes,
)
from tests.simulated_discogs import SECRET, Fault, SimulatedDiscogs
from tests.simulated_discogs.faults import FaultKind

KEY = {"DISCOGS_CONSUMER_KEY": OPERATORS_APP.key, "DISCOGS_CONSUMER_SECRET": OPERATORS_APP.secret}
OPERATORS: Mapping[str, dict[str, str]] = {
    "none": {},
    "token": {"DISCOGS_TOKEN": OWNER},
    "key": KEY,
    "key, and the front end's token": KEY | {"DISCOGS_TOKEN": OWNER},
    "refused": {"DISCOGS_TOKEN": WRONG},
}

EXAMPLES = 4
PATHS, HOT_PATHS = 6, 2
"""Of one example, and of the operator's own store. Every caller asks for each of them: half of the questions come
before, half after releases have been matched and kept."""

CALLERS = callers()
Asked = tuple[Who, Probe]


@dataclass(frozen=True)
class Seen:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def text(self) -> str:
        """All that the caller could read."""
        return "\n".join(f"{name}: {value}" for name, value in self.headers) + "\n\n" + self.body.decode()

    @property
    def json(self) -> object:
        text = self.body.decode()
        wrapped = re.fullmatch(r"\w+\((.*)\)", text, re.DOTALL)
        try:
            return json.loads(wrapped[1] if wrapped else text)
        except ValueError:
            return None


REFUSED = Seen(401, body=b'{"message": "..."}')
"""What a signature over the host gets, which no proxy can pass on."""


async def ask(session: aiohttp.ClientSession, base: str, asked: Asked, **headers: str) -> Seen:
    who, probe = asked
    target = probe.target(who.query)
    sent = who.headers_for(probe.method, target)
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    url = URL(base + target, encoded=True)
    async with session.request(probe.method, url, headers=sent, allow_redirects=False) as response:
        return Seen(response.status, tuple(response.headers.items()), await response.read())


class Oracle:
    """What Discogs itself says, asked once for each question."""

    def __init__(self, discogs: SimulatedDiscogs, session: aiohttp.ClientSession) -> None:
        self.discogs = discogs
        self.session = session
        self.known: dict[Asked, Seen] = {}
        self.fault: Fault | None = None

    @asynccontextmanager
    async def failing(self, crowd: Sequence[Asked]) -> AsyncIterator[None]:
        """Some calls fail meanwhile, where there is a fault; what would be said without it is known before."""
        for who, probe in crowd:
            for asking in (who, CALLERS[0]):
                await self.direct(asking, probe)
        if self.fault:
            self.discogs.add_fault(self.fault)
        try:
            yield
        finally:
            self.discogs.clear_faults()

    async def direct(self, who: Who, probe: Probe) -> Seen:
        if (who, probe) not in self.known:
            self.known[who, probe] = await ask(self.session, self.discogs.url, (who, probe))
        return self.known[who, probe]

    async def allowed(self, asked: Asked, seen: Seen) -> Seen:
        """The answer to compare with: for a wrong credential that was not sent, what the public gets."""
        who, probe = asked
        if probe.own:
            return Seen(seen.status)
        if self.fault and seen.status >= 500:
            return Seen(seen.status, body=b'{"message": "..."}')
        if who.signs:
            return REFUSED
        direct = await self.direct(who, probe)
        unsent = probe.public and direct.status == 401 and seen.status != 401
        return await self.direct(CALLERS[0], probe) if unsent else direct


@pytest.fixture
async def oracle() -> AsyncIterator[Oracle]:
    async with populated() as discogs, aiohttp.ClientSession() as session:
        discogs.clock = lambda: time.time() - 60  # so that the exports are done
        for token in (OWNER, SHOP):
            for path in ("/inventory/export", "/inventory/upload/add"):
                form = aiohttp.FormData({"upload": "x"}, default_to_multipart=True)
                headers = {"Authorization": f"Discogs token={token}"}
                async with session.post(discogs.url + path, headers=headers, data=form) as response:
                    assert response.status == 200
        discogs.clock = time.time
        yield Oracle(discogs, session)


# --- what is a leak -----------------------------------------------------------------------------------------------


def leaks(asked: Asked, seen: Seen, allowed: Seen, upstream: str, host: str) -> Iterator[str]:
    """What this caller should not have got, in words."""
    who, probe = asked
    if seen.status != allowed.status:
        yield f"status {seen.status} for {allowed.status}"
    yield from (f"marker {each}" for each in markers(seen.text) - markers(allowed.text))
    yield from (f"credential {each}" for each in CREDENTIALS if each in seen.text and each not in who.query)
    yield from (f"host {each}" for each in set(re.findall(r"\b(?:h\d+|evil)\.example\b", seen.text)) - {host})
    if upstream in seen.text:
        yield "the upstream's address"
    if who.identified and not probe.own and "public" in dict(seen.headers).get("Cache-Control", ""):
        yield "public to other caches"
    if probe.own:
        yield from (f"field {each}" for each in PERSONAL | OWNERS if f'"{each}"' in seen.text)
    else:
        yield from (f"field {each}" for each in fields(seen.json) - fields(allowed.json) - ADDED)
        yield from _differences(seen.json, allowed.json)


PERSONAL = frozenset({"user", "user_data", "in_cart", "email"})
OWNERS = frozenset({"external_id", "quantity"})
"""Of a listing, those whose names stand for nothing else."""
ADDED = frozenset({"audio_matches", "processing_status"})


def _differences(seen: object, allowed: object) -> Iterator[str]:
    """What is said of the asking user is said of this one, or not at all; and nothing is counted that he cannot see."""
    told, his = Counter(personal(seen)), Counter(personal(allowed))
    if told and told != his:
        yield f"told of somebody else: {told - his}"
    if seen_count := counted(seen) - counted(allowed):
        yield f"counted {seen_count} for {counted(allowed)}"


def markers(text: str) -> set[str]:
    return set(MARKER.findall(text))


def fields(value: object, path: str = "") -> set[str]:
    """The names of all members with the way to them, but for those of pictures and of what the proxy adds."""
    found: set[str] = set()
    if isinstance(value, dict):
        for name, member in value.items():
            found.add(f"{path}{name}")
            if name not in ADDED | {"images", "audio_matches"}:
                found |= fields(member, f"{path}{name}.")
    elif isinstance(value, list):
        for each in value:
            found |= fields(each, path)
    return {each for each in found if each.rpartition(".")[2] not in ADDED}


def personal(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name in PERSONAL:
                yield f"{name}: {member}"
            else:
                yield from personal(member)
    elif isinstance(value, list):
        for each in value:
            yield from personal(each)


def counted(value: object) -> set[str]:
    if not isinstance(value, dict):
        return set()
    pagination = value.get("pagination", value)
    counts = {f"{name}: {pagination[name]}" for name in ("items", "pages", "page") if name in pagination}
    return counts | counted(value.get("data"))


def remains(kept: str, where: str) -> Iterator[str]:
    """What must be in nothing that we keep."""
    yield from (f"{each} in {where}" for each in {SECRET, *CREDENTIALS} if each in kept)


def stored_fields(kept: str, where: str) -> Iterator[str]:
    yield from (f"{each} in {where}" for each in PERSONAL | OWNERS if f'"{each}":' in kept.replace(" ", ""))


async def kept_secrets(proxy: Proxy, dsn: str, folder: Path, logs: Sequence[object]) -> list[str]:
    found: list[str] = []
    await proxy.get("/")  # so that there is one answer at least
    await proxy.app[keys.PASSTHROUGH].copies.store.close()
    for where, kept in (("the response cache", cached_answers(folder)), ("the database", await database_rows(dsn))):
        text = " ".join(each.decode() if isinstance(each, bytes) else str(each) for row in kept for each in row)
        found += [*remains(text, where), *stored_fields(text, where)]
    found += remains(repr(logs), "the log")
    found += remains((await proxy.get("/metrics"))[1].decode(), "the metrics")
    found += remains(repr(proxy.app[keys.IDENTITIES]._known), "the memory of identities")
    return found


def cached_answers(folder: Path) -> list[tuple[object, ...]]:
    """Every row, and the bytes of the files as they are."""
    with sqlite3.connect(folder / FILE_NAME) as connection:
        rows: list[tuple[object, ...]] = connection.execute("SELECT * FROM responses").fetchall()
    connection.close()
    files = [file.read_bytes().decode("latin-1") for file in folder.glob(f"{FILE_NAME}*")]
    return [*rows, *((each,) for each in files)]


async def database_rows(dsn: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    rows = [tuple(row) for table in tables for row in await connection.fetch(f"TABLE {table[0]}")]
    await connection.close()
    return rows


# --- the property -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    foreign=st.sampled_from(["shared", "forward"]),
    own=st.sampled_from(["public", "forward"]),
    fault=st.sampled_from([None, "status", "html", "reset_before_headers"]),
)
async def test_nobody_sees_what_is_not_theirs(
    operator: str,
    oracle: Oracle,
    databases: FreshDatabases,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    foreign: str,
    own: str,
    fault: FaultKind | None,
) -> None:
    views = {"FOREIGN_INVENTORY": foreign, "OWN_FRONT_END_VIEW": own if "token" in operator else "forward"}
    draw = random.Random(seed)
    everything = probes(oracle.discogs)
    hot = [probe for probe in everything if probe.path.startswith(f"/users/{STORE}/inventory?per_page")]
    crowd = list(itertools.product(CALLERS, draw.sample(everything, PATHS) + draw.sample(hot, HOT_PATHS)))
    draw.shuffle(crowd)
    oracle.fault = Fault(kind=fault, probability=0.2) if fault else None
    folder = tmp_path_factory.mktemp("data")
    environment = {
        "DISCOGS_API_URL": oracle.discogs.url,
        "DISCOGS_RATE_LIMIT": "0",
        "DATA_DIR": str(folder),
        "BACKGROUND_PROCESSING_ENABLED": "false",
        "UPSTREAM_DEADLINE": "60000",
    }
    async with (
        log_lines() as logs,
        databases.new() as dsn,
        running_proxy(Settings.from_environment(environment | OPERATORS[operator] | views), dsn) as proxy,
    ):
        found = await leaks_to(crowd[::2], proxy, oracle)
        await proxy.admin("POST", "/api/admin/process-queue?limit=100")
        found += await leaks_to(crowd[1::2], proxy, oracle)
        found += await kept_secrets(proxy, dsn, folder, logs)
    assert not found, "\n".join(found)


@asynccontextmanager
async def log_lines() -> AsyncIterator[list[structlog.types.EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


async def leaks_to(crowd: Sequence[Asked], proxy: Proxy, oracle: Oracle) -> list[str]:
    """All ask at once, every third by a host name of his own, and all with one that they made up.

    The others call us by the same name, so that they share what is kept in memory.
    """
    hosts = [f"h{number if number % 3 == 0 else 1}.example" for number in range(len(crowd))]
    spoofed = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https"}
    async with oracle.failing(crowd):
        answers = await asyncio.gather(
            *(
                ask(proxy.session, proxy.url, asked, Host=host, **spoofed)
                for asked, host in zip(crowd, hosts, strict=True)
            )
        )
    found = []
    for asked, seen, host in zip(crowd, answers, hosts, strict=True):
        allowed = await oracle.allowed(asked, seen)
        found += [f"{asked[0]}: {asked[1]}: {leak}" for leak in leaks(asked, seen, allowed, oracle.discogs.url, host)]
    return found
