"""Answers of paths that we do not know, on their way to one client: his conditions, his range, his name for us."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp
from multidict import CIMultiDict

from proxy.adapters.upstream import MAX_BODY_BYTES, Answer, checked_json, translated_errors
from proxy.domain.http_fields import Fields
from proxy.domain.policy import Decision
from proxy.domain.ranges import part_of
from proxy.domain.request import Streamed
from proxy.domain.validators import is_not_modified
from proxy.domain.visibility import SAFE_METHODS
from proxy.domain.wire import Unpacker, is_json, is_jsonp, rewrite_origins
from proxy.services.answers import client_headers

BODILESS: Final = frozenset({204, 304})
ASIDE_FROM_BYTES: Final = 16 * 1024
"""Of a body as it comes: packed, it may be a hundred times as long."""


@dataclass(frozen=True, slots=True)
class Client:
    """`sent` are his header fields as upstream sees them; `public_origin` is put in place of `origins`."""

    method: str
    sent: CIMultiDict[str]
    public_origin: str
    origins: tuple[str, ...]

    def headers(self, fields: CIMultiDict[str]) -> tuple[tuple[str, str], ...]:
        kept = [(name, fields[name]) for name in ("Date", "Content-Encoding") if name in fields]
        return (*client_headers(Answer(0, fields, b""), self.origins, self.public_origin), *kept)


async def whole(
    client: Client, status: int, fields: CIMultiDict[str], body: bytes, decision: Decision, *, shared: bool
) -> Streamed:
    """An answer whose body is at hand, packed as upstream packed it. `shared`: it is everybody's."""
    if status == 200 and client.method in SAFE_METHODS and is_not_modified(client.sent, fields):
        return Streamed(304, client.headers(_without_content(fields)), _piece(b""), decision, shared)
    ours = await _ours(client, fields, body) if is_rewritten(status, fields) else body
    if ours != body:
        # Other bytes than upstream's tag tells of: they are the same in meaning alone (RFC 9110 section 8.8.3).
        fields, body = _with_weak_tag(fields), ours
    headers = list(client.headers(fields))
    part = part_of(client.sent, fields, len(body)) if status == 200 and client.method == "GET" else None
    if part is not None:
        status = 206 if part else 416
        span = f"{part.start}-{part.stop - 1}" if part else "*"
        headers.append(("Content-Range", f"bytes {span}/{len(body)}"))
        body = body[part.start : part.stop]
    if status not in BODILESS:
        headers.append(("Content-Length", str(len(body))))
    return Streamed(
        status,
        tuple(headers),
        _piece(b"" if client.method == "HEAD" else body),
        decision,
        shared,
    )


def streamed(
    client: Client,
    response: aiohttp.ClientResponse,
    fields: CIMultiDict[str],
    pieces: AsyncIterator[bytes],
    decision: Decision,
    *,
    shared: bool,
) -> Streamed:
    """An answer that is passed on as it comes. The length of one that would be rewritten is not known."""
    headers = client.headers(fields)
    if response.content_length is not None and not is_rewritten(response.status, fields):
        headers = (*headers, ("Content-Length", str(response.content_length)))
    return Streamed(response.status, headers, pieces, decision, shared)


def is_rewritten(status: int, fields: Fields) -> bool:
    """JSON, but for a part of it."""
    content_type = fields.get("Content-Type", "")
    return status not in (204, 206, 304) and (is_json(content_type) or is_jsonp(content_type))


def check(status: int, fields: Fields, body: bytes) -> None:
    """JSON that is none is told as an error, as everywhere. Raises UpstreamBroken."""
    if is_json(fields.get("Content-Type", "")) and not 300 <= status < 400:
        checked_json(Answer(status, CIMultiDict(fields), _unpacked(fields, body)))


async def _ours(client: Client, fields: Fields, body: bytes) -> bytes:
    """With the client's name for us; a thread does what would hold up everybody else."""
    if len(body) < ASIDE_FROM_BYTES:
        return _rewritten(client, fields, body)
    return await asyncio.to_thread(_rewritten, client, fields, body)


def _with_weak_tag(fields: CIMultiDict[str]) -> CIMultiDict[str]:
    weak = CIMultiDict(fields)
    if "ETag" in weak:
        weak["ETag"] = f"W/{weak['ETag'].removeprefix('W/')}"
    return weak


def _rewritten(client: Client, fields: Fields, body: bytes) -> bytes:
    plain = _unpacked(fields, body)
    ours = rewrite_origins(plain, client.origins, client.public_origin)
    if ours == plain:
        return body
    if plain == body:
        return ours
    return (
        zlib.compress(ours)
        if "deflate" in fields.get("Content-Encoding", "").lower()
        else gzip.compress(ours, 1, mtime=0)
    )


def _unpacked(fields: Fields, body: bytes) -> bytes:
    with translated_errors():
        unpacker = Unpacker(fields.get("Content-Encoding", ""), MAX_BODY_BYTES)
        unpacker.feed(body)
        return unpacker.finish()


def _without_content(fields: CIMultiDict[str]) -> CIMultiDict[str]:
    """For 304: what describes the body that is not sent goes (RFC 9110 section 15.4.5)."""
    return CIMultiDict(
        (name, value)
        for name, value in fields.items()
        if not name.lower().startswith("content-") or name.lower() == "content-location"
    )


async def _piece(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
