"""What the simulated providers share: a real port, the calls as they came, a limit, the simulated Discogs' faults."""

import time
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web

from tests.simulated_discogs import Catalogue, Fault
from tests.simulated_discogs.faults import BADLY, INSTEAD, Faults, Reply, send

SECONDS_TO_STOP = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it came, `at` by the server's clock."""

    path: str
    query: tuple[tuple[str, str], ...]
    at: float
    refused: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]

    def value(self, name: str, default: str = "") -> str:
        return next(iter(self.values(name)), default)


@dataclass
class SimulatedProvider(ABC):
    """`limit` calls in `window_s` seconds of each source address; None: no limit."""

    catalogue: Catalogue
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    limit: int | None = None
    window_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    calls: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._faults = Faults(self.seed)
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """To an admitted call."""

    @abstractmethod
    def refusal(self) -> Reply:
        """Of a call beyond the limit."""

    def add_fault(self, fault: Fault) -> None:
        self._faults.add(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def refused(self) -> list[Asked]:
        return [call for call in self.calls if call.refused]

    def calls_to(self, prefix: str) -> list[Asked]:
        return [call for call in self.calls if call.path.startswith(prefix)]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("GET", "/{anything:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SECONDS_TO_STOP)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        now = self.clock()
        admitted = self._admits(request.remote or "", now)
        asked = Asked(request.path, tuple(request.rel_url.query.items()), now, refused=not admitted)
        self.calls.append(asked)
        if not admitted:
            return await send(request, self.refusal())
        fault = self._faults.strike("GET", request.raw_path)
        if fault and fault.kind in INSTEAD:
            return await send(request, INSTEAD[fault.kind](fault))
        reply = self.answer(asked)
        bad_sender = BADLY.get(fault.kind) if fault else None
        return await bad_sender(request, reply, fault) if bad_sender and fault else await send(request, reply)

    def _admits(self, source: str, now: float) -> bool:
        if self.limit is None:
            return True
        admitted = self._admitted[source]
        while admitted and admitted[0] <= now - self.window_s:
            admitted.popleft()
        if len(admitted) >= self.limit:
            return False
        admitted.append(now)
        return True


def json_reply(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {"Content-Type": "application/json; charset=utf-8", **headers}, orjson.dumps(body))
