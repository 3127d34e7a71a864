"""A small simulated Discogs with known people, and a client that shows answers undecoded."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import orjson
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tests.simulated_discogs import Catalogue, SimulatedDiscogs

OWNER, ALICE = "Discogs token=owner-token", "Discogs token=alice-token"
CONSUMER = "Discogs key=shop-key, secret=shop-secret"


@dataclass(frozen=True)
class Seen:
    """An answer as it came over the wire."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        parsed = orjson.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed

    @property
    def message(self) -> object:
        return self.json["message"]

    def part(self, *names: str) -> dict[str, object]:
        found = self.json
        for name in names:
            inner = found[name]
            assert isinstance(inner, dict)
            found = inner
        return found

    def rows(self, name: str = "listings") -> list[dict[str, object]]:
        rows = self.json[name]
        assert isinstance(rows, list)
        return rows

    def ids(self, name: str = "listings") -> list[object]:
        return [row["id"] for row in self.rows(name)]


@dataclass
class Api:
    session: aiohttp.ClientSession
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, *, json: object = None, **headers: str) -> Seen:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, path, json=json, headers=named, allow_redirects=False) as answer:
            return Seen(answer.status, CIMultiDictProxy(CIMultiDict(answer.headers)), await answer.read())

    async def get(self, path: str, **headers: str) -> Seen:
        return await self.ask("GET", path, **headers)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=1, stores={"vinyl_den": 120, "small_shop": 12})


@pytest.fixture
async def discogs(catalogue: Catalogue) -> AsyncIterator[SimulatedDiscogs]:
    async with SimulatedDiscogs(catalogue) as running:
        running.register_user("vinyl_den", "owner-token")
        running.register_user("alice", "alice-token", currency="GBP")
        running.register_consumer("shop-key", "shop-secret")
        yield running


@pytest.fixture
async def api(discogs: SimulatedDiscogs) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(discogs.url, auto_decompress=False) as session:
        session.headers["Accept-Encoding"] = "identity"
        yield Api(session)
