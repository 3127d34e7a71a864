"""The one door to Discogs: budget, deadline, credential, and answers that are answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.domain.budget import Budget, Lane, Reservation
from proxy.domain.visibility import OperatorCredential, Using
from proxy.domain.wire import BrokenBody, TooLong, Unpacker, decode_json, is_html
from proxy.errors import BudgetExhausted, UpstreamBroken, UpstreamTimeout

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Of a body that must be read whole, unpacked. The longest real ones are below 1 MB."""


@dataclass(slots=True)
class Trace:
    """What one client request cost upstream, for its log line; `request_id` goes along."""

    request_id: str
    upstream_calls: int = 0
    upstream_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make. `target` is path and query, encoded; `authorization` is empty for an anonymous call."""

    method: str
    target: str
    lane: Lane
    using: Using = Using.NOBODY
    headers: tuple[tuple[str, str], ...] = ()
    authorization: tuple[str, ...] = field(default=(), repr=False)
    body: AsyncIterator[bytes] | None = None
    accept_gzip: bool = True
    patience_s: float | None = None
    """How long background work waits for budget; None: a client is waiting, budget and answer share the deadline."""

    @property
    def identified(self) -> bool:
        return self.using is not Using.NOBODY


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body unpacked."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")


OnCall = Callable[[Call, int | str, float], None]
"""Told of every call: the status or the name of what went wrong, and the seconds it took."""


@dataclass(slots=True)
class Upstream:
    """Sends calls to Discogs under the budget. `operator` is whose credential `Using.OPERATOR` means."""

    session: aiohttp.ClientSession
    origin: str
    user_agent: str
    budget: Budget
    deadline_s: float
    operator: OperatorCredential | None = None
    on_call: OnCall = lambda *_: None
    clock: Callable[[], float] = time.monotonic

    @property
    def remaining(self) -> int:
        return self.budget.remaining(self.operator is not None, self.clock())

    @property
    def limit(self) -> int:
        return self.budget.limits[self.operator is not None]

    async def fetch(self, call: Call, trace: Trace) -> Answer:
        """The whole answer, whatever its status. Raises BudgetExhausted, UpstreamBroken or UpstreamTimeout."""
        async with self.open(call, trace) as response:
            return await read_whole(response, self.deadline_s)

    @asynccontextmanager
    async def open(self, call: Call, trace: Trace) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as soon as its head is there; budget and head must come within the deadline.

        A call that waits patiently for budget has the whole deadline for its head. What is done with the body is the
        caller's, and so are its errors.
        """
        until = self.clock() + (call.patience_s or self.deadline_s)
        reservation = await self._reserve(call, until)
        started = self.clock()
        head_within_s = self.deadline_s if call.patience_s else until - started
        ended: int | str = "broken"
        try:
            with translated_errors():
                response = await self._request(call, head_within_s)
            ended = response.status
            self._learn(call, response.headers)
            async with response:
                yield response
        except UpstreamTimeout:
            ended = "timeout"
            raise
        finally:
            self.budget.release(reservation, self.clock())
            seconds = self.clock() - started
            trace.upstream_calls += 1
            trace.upstream_ms += seconds * 1000
            self.on_call(call, ended, seconds)

    async def _reserve(self, call: Call, until: float) -> Reservation:
        while isinstance(wait := self.budget.reserve(call.lane, call.identified, self.clock()), float):
            if self.clock() + wait >= until:
                raise BudgetExhausted("You are making requests too quickly.", retry_after_s=wait)
            await asyncio.sleep(wait)
        return wait

    async def _request(self, call: Call, head_within_s: float) -> aiohttp.ClientResponse:
        headers = CIMultiDict(call.headers)
        headers["User-Agent"] = self.user_agent
        headers["Accept-Encoding"] = "gzip" if call.accept_gzip else "identity"
        for value in self._authorization(call):
            headers.add("Authorization", value)
        # An upload may take its time: then each piece has the deadline, not the whole.
        async with asyncio.timeout(None if call.body else max(head_within_s, 0.1)):
            return await self.session.request(
                call.method,
                URL(self.origin + call.target, encoded=True),
                headers=headers,
                data=call.body,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
                timeout=aiohttp.ClientTimeout(total=None, connect=self.deadline_s, sock_read=self.deadline_s),
            )

    def _authorization(self, call: Call) -> tuple[str, ...]:
        match call.using:
            case Using.CALLER:
                return call.authorization
            case Using.OPERATOR if self.operator:
                return (self.operator.authorization,)
            case _:
                return ()

    def _learn(self, call: Call, headers: Mapping[str, str]) -> None:
        limit, remaining = _number(headers, "X-Discogs-Ratelimit"), _number(headers, "X-Discogs-Ratelimit-Remaining")
        self.budget.learn(call.identified, limit, remaining, self.clock())


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 9 else None


async def read_whole(response: aiohttp.ClientResponse, within_s: float) -> Answer:
    """The body, unpacked, at most MAX_BODY_BYTES. Raises UpstreamBroken, UpstreamTimeout."""
    with translated_errors():
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""), MAX_BODY_BYTES)
        async with asyncio.timeout(within_s):
            async for piece in response.content.iter_any():
                unpacker.feed(piece)
        return Answer(response.status, CIMultiDict(response.headers), unpacker.finish())


def checked_json(answer: Answer) -> object:
    """The parsed body of an answer that must be JSON. Raises UpstreamBroken for HTML, an empty or a broken body."""
    if is_html(answer.content_type):
        raise UpstreamBroken(f"Discogs answered {answer.status} with an HTML page instead of JSON.")
    if not answer.body.strip():
        raise UpstreamBroken(f"Discogs answered {answer.status} with an empty body.")
    try:
        return decode_json(answer.body)
    except BrokenBody:
        raise UpstreamBroken(f"Discogs answered {answer.status} with a body that is not JSON.") from None


class translated_errors:  # noqa: N801 - reads as a statement
    """Turns what aiohttp and a hostile body raise into the proxy's errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        match error:
            case TimeoutError():
                raise UpstreamTimeout("Discogs did not answer in time.") from error
            case TooLong():
                raise UpstreamBroken("Discogs answered with a body that is too long.") from error
            case BrokenBody():
                raise UpstreamBroken(f"Discogs answered with a broken body: {error}.") from error
            case aiohttp.ClientConnectorError():
                raise UpstreamBroken(f"Discogs cannot be reached: {_cause(error)}.") from error
            case aiohttp.ClientError() | OSError():
                raise UpstreamBroken("Discogs broke off in the middle of its answer.") from error


def _cause(error: aiohttp.ClientConnectorError) -> str:
    return error.os_error.strerror or type(error).__name__
