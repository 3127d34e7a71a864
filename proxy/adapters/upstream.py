"""The one door to Discogs: budget, deadline, credential, and answers that are answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

from matcher.domain.breaker import Breaker
from proxy.adapters.lanes import Lanes
from proxy.adapters.single_flight import SingleFlight
from proxy.domain.budget import Errand, Lane, Reservation
from proxy.domain.credentials import masked, without_credentials
from proxy.domain.visibility import OperatorCredential, Using
from proxy.domain.wire import BrokenBody, TooLong, Unpacker, decode_json, is_html
from proxy.errors import BudgetExhausted, UpstreamBroken, UpstreamDropped, UpstreamTimeout

OUTAGE_AFTER_FAILURES = 5
OUTAGE_FIRST_S = 2.0
OUTAGE_LONGEST_S = 30.0
"""After so many failures in a row Discogs is left alone for a while, then asked once."""

CREDENTIAL_AGAIN_S = 300.0
"""How long a credential that Discogs refused is not shown again."""

HEAD_LEAST_S = 2.0
PROBED_SOON_S = 1.0
"""When to come again while one call finds out."""

OUTAGE_STATUSES = frozenset({502, 503, 504, *range(520, 528)})
"""Of gateways and of Cloudflare. A 500 is not among them: some requests bring one about."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Of a body that must be read whole, unpacked. The longest real ones are below 1 MB."""


log = structlog.get_logger()


@dataclass(slots=True)
class Trace:
    """What one client request cost upstream, for its log line; `request_id` goes along.

    It is not sent: Discogs has no use for it, and nothing of a shop's callers is Discogs' to know.
    """

    request_id: str
    upstream_calls: int = 0
    upstream_ms: float = 0.0
    joined: str | None = None
    """Of the request whose call upstream answered this one too."""


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
    wants_json: bool = True
    """An HTML page in place of its answer is a failure of Discogs."""
    patience_s: float | None = None
    """How long background work waits for budget; None: a client is waiting, budget and answer share the deadline."""
    telling: bool = True
    """Its failure tells of an outage. False for a path that we do not know, where a client can bring one about."""
    errand: Errand | None = None
    """What it is made for, where a shopper may come to wait for that: its lane is then that of the errand."""

    @property
    def identified(self) -> bool:
        return self.using is not Using.NOBODY

    @property
    def flight(self) -> Hashable | None:
        """Calls of one flight may share one answer; None for a call that must be made for itself."""
        if self.method != "GET" or self.body is not None:
            return None
        return self.lane, self.target, self.using, self.authorization, self.headers, self.accept_gzip


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body unpacked."""

    status: int
    headers: CIMultiDict[str]
    body: bytes
    using: Using | None = None
    """Whose credential it was asked for with in the end; None where that does not matter."""

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
    lanes: Lanes
    deadline_s: float
    operator: OperatorCredential | None = None
    on_call: OnCall = lambda *_: None
    clock: Callable[[], float] = time.monotonic
    _operator_refused_until: float = float("-inf")
    flights: SingleFlight[Answer] = field(default_factory=SingleFlight)
    outage: Breaker = field(default_factory=lambda: Breaker(OUTAGE_AFTER_FAILURES, OUTAGE_FIRST_S, OUTAGE_LONGEST_S))

    @property
    def remaining(self) -> int:
        return self.lanes.budget.remaining(self._identified, self.clock())

    @property
    def limit(self) -> int:
        return self.lanes.budget.limits[self._identified]

    @property
    def _identified(self) -> bool:
        return self.operator is not None and not self.operator_refused

    def use(self, operator: OperatorCredential | None) -> None:
        """Another credential, from the next call on."""
        self.operator, self._operator_refused_until = operator, float("-inf")

    def troubles(self) -> dict[str, str]:
        """What is degraded now, by name."""
        found = {}
        if self.operator_refused:
            found["credential"] = "Discogs refuses the operator's credential (401): anonymous, 25 calls a minute"
        if self.outage.is_open:
            found["discogs"] = "failing: left alone for a while, then asked once"
        if self.lanes.budget.cool_down.is_open:
            found["budget"] = "Discogs refused a call (429): nobody asks until the cool-down is over"
        if self.lanes.log_is_away:
            found["database"] = "cannot be written to: calls are counted by this process alone"
        return found

    async def fetch(self, call: Call, trace: Trace) -> Answer:
        """The whole answer, whatever its status. Raises BudgetExhausted, UpstreamBroken or UpstreamTimeout.

        Equal requests of equal visibility that are under way at the same time are one call, whatever comes of it.
        """
        if call.flight is None:
            return await self._fetch(call, trace)
        trace.joined = trace.joined or self.flights.began_by(call.flight)
        return await self.flights.join(call.flight, lambda: self._fetch(call, trace), trace.request_id)

    async def _fetch(self, call: Call, trace: Trace) -> Answer:
        """A call that Discogs refuses is made once more after the cool-down, if its time allows.

        So is one whose connection was dropped, at once.
        """
        until, shown = self._until(call), self.operator
        call = self._without_refused_credential(call)
        try:
            answer = await self._fetch_once(call, trace, until)
        except UpstreamDropped:
            if call.flight is None:  # a write, which must not be done twice
                raise
            answer = await self._fetch_once(call, trace, until)
        while answer.status == 401 and call.using is Using.OPERATOR:
            if self.operator is shown:  # another one may have taken its place meanwhile: then that is shown
                log.warning("Discogs refuses the operator's credential: on anonymously", again_in_s=CREDENTIAL_AGAIN_S)
                self._operator_refused_until = self.clock() + CREDENTIAL_AGAIN_S
            shown, call = self.operator, self._without_refused_credential(call)
            answer = await self._fetch_once(call, trace, until)
        if answer.status == 429 and self.lanes.budget.cool_down.is_open:
            return await self._fetch_once(call, trace, until)
        return answer

    @property
    def operator_refused(self) -> bool:
        """Discogs does not take the operator's credential: what it would give is asked for anonymously, at 25 a minute.

        It is tried again now and then.
        """
        return self.clock() < self._operator_refused_until

    @property
    def operator_now(self) -> OperatorCredential | None:
        """The operator's credential and whether Discogs takes it."""
        return replace(self.operator, refused=True) if self.operator and self.operator_refused else self.operator

    def _without_refused_credential(self, call: Call) -> Call:
        refused = call.using is Using.OPERATOR and not self._identified
        return replace(call, using=Using.NOBODY) if refused else call

    async def _fetch_once(self, call: Call, trace: Trace, until: float) -> Answer:
        async with self.open(call, trace, until) as response:
            within_s = self.deadline_s if call.patience_s else max(until - self.clock(), self._least_s)
            return replace(await read_whole(response, within_s), using=call.using)

    def _until(self, call: Call) -> float:
        return self.clock() + (call.patience_s or self.deadline_s)

    @asynccontextmanager
    async def open(self, call: Call, trace: Trace, until: float | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as soon as its head is there; budget and head must come within the deadline, or by `until`.

        A call that waits patiently for budget has the whole deadline for its head. What is done with the body is the
        caller's, and so are its errors.
        """
        until = self._until(call) if until is None else until
        self._refuse_during_outage(call)
        errand = call.errand or Errand(call.lane)
        reservation = await self.lanes.reserve(errand, identified=call.identified, until=until)
        call = replace(call, lane=reservation.lane)
        try:
            self._refuse_during_outage(call)  # it may have begun, or its one probe, while we waited
            _refuse_an_upload_as_probe(call, reservation)
        except (UpstreamBroken, BudgetExhausted):
            self.lanes.give_back(reservation)
            raise
        with self._recorded(call, trace, reservation) as record:
            record.within_s = self.deadline_s if call.patience_s else max(until - self.clock(), self._least_s)
            with translated_errors():
                response = await self._request(call, record.within_s)
            record.status = response.status
            record.is_page = call.wants_json and response.status < 300 and is_html(response.content_type)
            self._learn(call, reservation, response)
            if record.probe:
                self._tell_breaker(call, record)  # the body may take its time, others wait for what the probe finds
            async with response:
                yield response

    @property
    def _least_s(self) -> float:
        """For the head of an answer whose call is paid for, even if the wait for budget took nearly all the time."""
        return min(self.deadline_s, HEAD_LEAST_S)

    def _refuse_during_outage(self, call: Call) -> None:
        """Raises UpstreamBroken while Discogs is known to fail. An upload, which may take for ever, is no probe."""
        wait_s = self.outage.wait_s(self.clock())
        if wait_s is not None or (self.outage.is_open and call.body is not None):
            raise UpstreamBroken("Discogs is failing; it will be asked again soon.", max(PROBED_SOON_S, wait_s or 0))

    @contextmanager
    def _recorded(self, call: Call, trace: Trace, reservation: Reservation) -> Iterator[_Record]:
        """However the call ends: the reservation is released, the outage breaker, metrics and trace are told."""
        started, record = self.clock(), _Record(probe=self.outage.begin())
        try:
            yield record
        except (UpstreamBroken, UpstreamTimeout) as error:
            record.error = error
            raise
        finally:
            self.lanes.release(reservation)
            self._tell_breaker(call, record)
            seconds = self.clock() - started
            trace.upstream_calls += 1
            trace.upstream_ms += seconds * 1000
            self.on_call(call, record.ended, seconds)
            _log(call, record.ended, seconds, trace)

    def _tell_breaker(self, call: Call, record: _Record) -> None:
        """No outage is what a client can bring about: a slow upload, a query that Discogs fails on, a broken body."""
        probe, record.probe = record.probe, False
        if record.status is None and record.error is not None:
            failed = record.within_s >= self.deadline_s / 2  # else it had hardly any time left for its answer
        else:
            failed = record.is_page or record.status in OUTAGE_STATUSES
        if failed and call.body is None and call.telling:
            self.outage.failed(self.clock(), probe=probe)
        elif failed or record.status is None:
            self.outage.abandoned(probe=probe)
        else:
            self.outage.succeeded()

    async def _request(self, call: Call, head_within_s: float) -> aiohttp.ClientResponse:
        headers = CIMultiDict(call.headers)
        headers["User-Agent"] = self.user_agent
        headers["Accept-Encoding"] = "gzip" if call.accept_gzip else "identity"
        for value in self._authorization(call):
            headers.add("Authorization", value)
        # An upload may take its time: then each piece has the deadline, not the whole.
        async with asyncio.timeout(None if call.body else head_within_s):
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

    def _learn(self, call: Call, reservation: Reservation, response: aiohttp.ClientResponse) -> None:
        budget, headers, now = self.lanes.budget, response.headers, self.clock()
        limit, used = _number(headers, "X-Discogs-Ratelimit"), _number(headers, "X-Discogs-Ratelimit-Used")
        remaining = _number(headers, "X-Discogs-Ratelimit-Remaining")
        if limit is not None and used is not None:
            remaining = min(max(0, limit - used), limit if remaining is None else remaining)
        # Whose credential is not ours may be taken for nobody, silently: that tells nothing of our own class.
        if call.using is not Using.CALLER or limit == budget.limits[call.identified]:
            budget.learn(call.identified, limit, remaining, now)
        budget.answered(reservation, response.status, now)


@dataclass(slots=True)
class _Record:
    """How a call went so far. `within_s` is the time that its head had; `probe` until that is settled."""

    probe: bool
    within_s: float = 0.0
    status: int | None = None
    is_page: bool = False
    error: UpstreamBroken | UpstreamTimeout | None = None

    @property
    def ended(self) -> int | str:
        """The status, or what went wrong before there was one."""
        if self.status is not None:
            return self.status
        return "timeout" if isinstance(self.error, UpstreamTimeout) else "broken"


def _log(call: Call, ended: int | str, seconds: float, trace: Trace) -> None:
    """A line for each call: there are no more of them than Discogs allows."""
    path, _, query = call.target.partition("?")
    log.info(
        "upstream call",
        method=call.method,
        path=masked(path),
        query=masked(without_credentials(query)) or None,
        lane=call.lane.value,
        credential=call.using.value,
        ended=ended,
        ms=round(seconds * 1000, 1),
        request_id=trace.request_id,
    )


def _refuse_an_upload_as_probe(call: Call, reservation: Reservation) -> None:
    """It may take for ever, and everybody waits for what the probe finds. Raises BudgetExhausted."""
    if reservation.probe and call.body is not None:
        raise BudgetExhausted("You are making requests too quickly.", PROBED_SOON_S)


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


async def read_packed(response: aiohttp.ClientResponse, within_s: float, most: int) -> bytes:
    """The body as it came, at most so many bytes. Raises UpstreamBroken, UpstreamTimeout."""
    pieces, left = [], most
    with translated_errors():
        async with asyncio.timeout(within_s):
            async for piece in response.content.iter_any():
                left -= len(piece)
                if left < 0:
                    raise TooLong
                pieces.append(piece)
    return b"".join(pieces)


async def pieces_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body piece by piece, as it comes. Raises UpstreamBroken when upstream breaks off."""
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamBroken("Discogs broke off in the middle of its answer.") from error


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


class ConnectionDropped(aiohttp.ClientError):
    """No error that aiohttp knows, so that it does not repeat the request by itself."""


async def sent_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Client middleware: aiohttp repeats what it sent on a connection that was dropped, a call that nobody reserved.

    Raises ConnectionDropped.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionDropped from error


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
            case ConnectionDropped():
                raise UpstreamDropped("Discogs dropped the connection instead of answering.") from error
            case aiohttp.ClientConnectorError():
                raise UpstreamBroken(f"Discogs cannot be reached: {_cause(error)}.") from error
            case aiohttp.ClientError() | OSError():
                raise UpstreamBroken("Discogs broke off in the middle of its answer.") from error


def _cause(error: aiohttp.ClientConnectorError) -> str:
    """Without the address, which strerror may hold: it is not the client's to know."""
    number = error.os_error.errno
    return os.strerror(number) if number and number > 0 else type(error).__name__
