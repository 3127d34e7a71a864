"""The real Client: one GET at a time over aiohttp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from matcher.domain.breaker import Breaker
from matcher.errors import Broken, Unavailable, Unreachable
from matcher.json_text import parse_json
from matcher.providers.client import Reply
from matcher.quota_store import Quota

TIMEOUT_S = 10.0
MAX_BODY_BYTES = 2_000_000
"""Of an unpacked body; a page of search results has a tenth of it."""

BROKEN_AGAIN_S = 30.0
"""A provider that is broken is asked again after so long, while its breaker is closed."""

THROTTLED_AGAIN_S = 30.0
THROTTLED_AGAIN_MOST_S = 24 * 3600.0
"""Where a refusal does not say when to ask again, or says too much."""

log = structlog.get_logger()


@dataclass(slots=True)
class HttpClient:
    """Asks one provider at `base_url`, which may have a path.

    `secrets` are parameters that every call needs and nobody may see: they are in no error, and no error has a cause.
    """

    session: aiohttp.ClientSession
    provider: str
    base_url: str
    user_agent: str
    quota: Quota
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = TIMEOUT_S
    breaker: Breaker = field(default_factory=lambda: Breaker(threshold=5, first_s=30.0, longest_s=1800.0))
    clock: Callable[[], float] = time.monotonic
    _was_heard: bool = False
    """Some answer came, of whatever kind."""

    async def get(self, path: str, params: Mapping[str, str | Sequence[str]]) -> Reply:
        """`path` is plain text, nothing in it quoted.

        Raises Unavailable: out of quota, or refused (429, 503 with a word of it); Broken; DatabaseUnavailable.
        """
        self._refuse_while_open()
        await self.quota.take(path)
        self._refuse_while_open()  # it may have opened, or its one probe begun, while we waited
        probe = self.breaker.begin()
        told = False
        log.debug("provider call", provider=self.provider, path=path)  # who asked is in the context of the log
        try:
            reply = await self._ask(path, params)
            self.breaker.succeeded()
            told = True
        except _Nonsense as error:
            self.breaker.failed(self.clock(), probe=probe)
            told = True
            raise self._broken(str(error), self._open_s() or BROKEN_AGAIN_S) from None
        finally:
            if not told:
                self.breaker.abandoned(probe=probe)
        if reply.status in (429, 503):
            raise Unavailable(f"{self.provider}: refused with {reply.status}", retry_after_s(reply.headers))
        return reply

    def _refuse_while_open(self) -> None:
        if self.breaker.wait_s(self.clock()) is not None:
            raise self._broken("failing, left alone for a while", self._open_s())

    def _broken(self, what: str, again_s: float) -> Broken:
        return (Broken if self._was_heard else Unreachable)(f"{self.provider}: {what}", again_s)

    def _open_s(self) -> float:
        """Until the next probe."""
        return self.breaker.wait_s(self.clock()) or 0.0

    async def _ask(self, path: str, params: Mapping[str, str | Sequence[str]]) -> Reply:
        """A reply that can be used, refusals included. Raises _Nonsense."""
        url = URL(self.base_url.rstrip("/") + quote(path, safe="/:"), encoded=True)
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.get(
                    url,
                    params=[*pairs(params), *self.secrets.items()],
                    headers={"User-Agent": self.user_agent, "Accept": "application/json"},
                    allow_redirects=False,
                ) as response,
            ):
                self._was_heard = True
                return usable(response.status, response.headers, await _read(response))
        except TimeoutError:
            raise _Nonsense("no answer in time") from None
        except aiohttp.ClientConnectorError:
            raise _Nonsense("cannot be reached") from None
        except (aiohttp.ClientError, OSError, ValueError):  # the message may hold the URL, and the URL a secret
            raise _Nonsense("broke off in the middle of its answer") from None


def pairs(params: Mapping[str, str | Sequence[str]]) -> Iterator[tuple[str, str]]:
    """One for each value."""
    for name, values in params.items():
        for value in (values,) if isinstance(values, str) else values:
            yield name, value


class _Nonsense(Exception):
    """There is no answer, or none that a provider gives."""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Raises _Nonsense when there is more than anybody needs; the rest is not read."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise _Nonsense(f"answered with more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def usable(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """An error may be told by its status alone, a success must be JSON. Raises _Nonsense."""
    try:
        parsed = parse_json(body)
    except ValueError:
        parsed = None
        is_json = False
    else:
        is_json = True
    refuses = status == 429 or (status == 503 and (is_json or "Retry-After" in headers))
    if status < 200 or 300 <= status < 400 or (status >= 500 and not refuses):
        raise _Nonsense(f"answered {status}")
    if status < 300 and not is_json:
        raise _Nonsense(f"answered {status} with a body that is not JSON")
    return Reply(status, headers, parsed)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds, by RFC 9110 section 10.2.3: a number of them, or a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:9]), THROTTLED_AGAIN_MOST_S)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return THROTTLED_AGAIN_S
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait_s, 0.0), THROTTLED_AGAIN_MOST_S)
