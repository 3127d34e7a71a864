"""A client's request as the rules see it, and the answer it gets: values between handlers and services."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote

from proxy.domain.credentials import Caller, without_credentials
from proxy.domain.policy import Decision
from proxy.domain.resources import Kind, Resource
from proxy.domain.visibility import SAFE_METHODS, Ask, Using, with_for_sale, without_own_parameters
from proxy.domain.wire import Headers, accepts_gzip, headers_for_upstream
from proxy.errors import BadRequest


@dataclass(frozen=True, slots=True)
class ShopRequest:
    """A Discogs-shaped request. `raw_path` and `raw_query` are as the client encoded them."""

    method: str
    raw_path: str
    raw_query: str = field(repr=False)
    resource: Resource
    caller: Caller
    ask: Ask
    headers: Headers = field(repr=False)
    public_origin: str
    body: AsyncIterator[bytes] | None = None

    @property
    def target(self) -> str:
        """Path and query to ask upstream for."""
        query = self.upstream_query
        return f"{self.raw_path}?{query}" if query else self.raw_path

    @property
    def upstream_query(self) -> str:
        query = self.raw_query
        if self.resource.kind in (Kind.RELEASE, Kind.INVENTORY):
            query = without_own_parameters(query)
        if self.ask.using is not Using.CALLER:
            query = without_credentials(query)
        return with_for_sale(query) if self.ask.for_sale_only else query

    @property
    def accepts_gzip(self) -> bool:
        return accepts_gzip([value for name, value in self.headers if name.lower() == "accept-encoding"])

    @property
    def wants_json(self) -> bool:
        """A read of a known resource that answers JSON: nothing of the client's headers matters but its media type.

        HEAD is answered from what GET gives (RFC 9110 section 9.3.2).
        """
        return self.method in SAFE_METHODS and self.resource.kind not in (Kind.UNKNOWN, Kind.TEXT)

    @property
    def media_types(self) -> tuple[tuple[str, str], ...]:
        """The Accept of a client that asks for another rendering than the default.

        Discogs answers its default to any Accept but two of its own (documentation, Versioning and Media Types).
        """
        return special_media_types([value for name, value in self.headers if name.lower() == "accept"])

    def forwarded(self) -> ShopRequest:
        """The same, asked for with the caller's own credential and kept for nobody."""
        return replace(self, ask=Ask(Using.CALLER))

    def upstream_headers(self) -> tuple[tuple[str, str], ...]:
        """With the length of a body that has one: upstream may not take chunks.

        What is asked for everybody's sake says nothing of the one who asks, so that equal requests are equal.
        """
        if self.wants_json and self.ask.shared:
            return self.media_types
        length = [(name, value) for name, value in self.headers if name.lower() == "content-length" and self.body]
        return (*headers_for_upstream(self.headers), *length)


def special_media_types(accept: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Of a request with these Accept headers the one to send upstream, where it is not for the default."""
    asked = ", ".join(accept)
    return (("Accept", asked),) if "html+json" in asked.lower() or "plaintext+json" in asked.lower() else ()


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target (RFC 9112 section 3.2), origin form or absolute form; percent-encoded.

    Raises BadRequest for any other form: put behind an origin it could name another host.
    """
    if target.lower().startswith(("http://", "https://")):
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    if not target.startswith("/"):
        raise BadRequest("The request target must be a path.")
    path, _, query = target.partition("#")[0].partition("?")
    return _encoded(path), _encoded(query)


def _encoded(text: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates (PEP 383) and leave as they came."""
    try:
        return re.sub(r"[^\x21-\x7e]", lambda found: quote(found[0].encode("utf-8", "surrogateescape")), text)
    except UnicodeEncodeError:
        raise BadRequest("The request target is not text.") from None


@dataclass(frozen=True, slots=True)
class Reuse:
    """An equal request may get the same answer until `fresh_until`, unless one of `release_ids` changes before.

    `fetched_at` is when upstream was asked for what the answer is made of.
    """

    fetched_at: datetime
    fresh_until: datetime
    release_ids: frozenset[int] = frozenset()
    detail: str | None = None
    """Of the decision, told each time."""


@dataclass(frozen=True, slots=True)
class Served:
    """An answer to a client: end-to-end headers and the body as bytes, unpacked. `reuse` None: made for this once."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    decision: Decision
    reuse: Reuse | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer whose body is passed on piece by piece, as it comes, packed as upstream packed it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: AsyncIterator[bytes]
    decision: Decision
    shared: bool = False
    """It is everybody's, by upstream's word, whoever asks."""
