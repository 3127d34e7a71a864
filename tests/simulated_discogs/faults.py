"""Everything that can go wrong on the way: what a fault is, which one strikes, and how it is sent."""

import asyncio
import random
import re
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import orjson
from aiohttp import web

FaultKind = Literal[
    "status",
    "html",
    "empty",
    "broken_json",
    "rate_limited",
    "truncated",
    "short_length",
    "bad_gzip",
    "huge",
    "gzip_bomb",
    "slow_headers",
    "slow_body",
    "reset_before_headers",
    "reset_in_headers",
    "reset_after_headers",
    "silent",
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

HUGE = 300_000_000
BOMB = 1_000_000_000
BLOCK = 1_000_000
MISSING_BYTES = 1_000
BODY_PIECES = 10
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"

HTML_PAGE = b"""<!DOCTYPE html>
<html lang="en-US">
<head><title>discogs.com | 502: Bad gateway</title></head>
<body><h1>Bad gateway</h1><p>The web server reported a bad gateway error.</p><p>Cloudflare Ray ID: 0</p></body>
</html>
"""
FORBIDDEN_PAGE = b"""<!DOCTYPE html>
<html lang="en-US">
<head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1></body>
</html>
"""
STATUS_MESSAGES = {
    403: "You don't have permission to access this resource.",
    404: "The requested resource was not found.",
    500: "Query time exceeded. Please try a simpler query.",
    503: "Service temporarily unavailable.",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` is searched in path and query; without it, and without `method`, every request is struck.

    It strikes the next `times` matching requests (None: all), each with `probability`. `status` is for status
    (default 500) and html (502); `body` replaces the usual one; `size` is that of huge and, unpacked, of
    gzip_bomb; `delay_s` is the whole delay of slow_headers and slow_body, and what the resets within and after
    the headers leave the client to read. The slow, truncated, short_length, bad_gzip, reset_in_headers and
    reset_after_headers kinds do what was asked before they fail: the write has happened, its answer is lost.
    """

    kind: FaultKind
    path: re.Pattern[str] | None = None
    times: int | None = None
    probability: float = 1.0
    method: str | None = None
    status: int | None = None
    body: bytes | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    delay_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes out: its exact bytes and headers."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    chunked: bool = False


class Faults:
    """Those set up and not yet used up; the first that matches strikes."""

    def __init__(self, seed: int = 0) -> None:
        self._left: list[tuple[Fault, int | None]] = []
        self._draw = random.Random(f"{seed}/faults")

    def add(self, fault: Fault) -> None:
        self._left.append((fault, fault.times))

    def clear(self) -> None:
        self._left.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        for index, (fault, left) in enumerate(self._left):
            if left != 0 and self._strikes(fault, method, path):
                self._left[index] = (fault, None if left is None else left - 1)
                return fault
        return None

    def _strikes(self, fault: Fault, method: str, path: str) -> bool:
        meant = fault.method in {None, method} and (fault.path is None or bool(fault.path.search(path)))
        return meant and (fault.probability >= 1 or self._draw.random() < fault.probability)


# Answers in place of the real one


def _status_reply(fault: Fault) -> Reply:
    status = fault.status or 500
    message = {"message": STATUS_MESSAGES.get(status, "An internal server error occurred. (Malformed query?)")}
    return _reply(fault, status, "application/json", orjson.dumps(message))


def _html_reply(fault: Fault) -> Reply:
    return _reply(fault, fault.status or 502, "text/html; charset=UTF-8", HTML_PAGE)


def _empty_reply(fault: Fault) -> Reply:
    return _reply(fault, fault.status or 200, "application/json", b"")


def _broken_reply(fault: Fault) -> Reply:
    return _reply(fault, fault.status or 200, "application/json", b'{"pagination": {"page": 1, "pages": 3, "per_p')


def _rate_limited_reply(fault: Fault) -> Reply:
    return _reply(fault, 429, "application/json", b'{"message":"You are making requests too quickly."}')


def _reply(fault: Fault, status: int, content_type: str, body: bytes) -> Reply:
    headers = {"Content-Type": fault.content_type or content_type, **fault.headers}
    return Reply(status, headers, body if fault.body is None else fault.body)


INSTEAD: dict[FaultKind, Callable[[Fault], Reply]] = {
    "status": _status_reply,
    "html": _html_reply,
    "empty": _empty_reply,
    "broken_json": _broken_reply,
    "rate_limited": _rate_limited_reply,
}


# Ways of sending the real one badly


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)
    if reply.chunked and request.method != "HEAD":
        response.enable_chunked_encoding()
    return response


async def _send_truncated(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    length = {"Content-Length": str(len(reply.body) + MISSING_BYTES)}
    response = await _headers_sent(request, replace(reply, headers={**reply.headers, **length}))
    await response.write(reply.body)
    _close(request)
    return response


async def _send_short_length(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    """Content-Length tells half of what comes."""
    half = len(reply.body) // 2
    response = await _headers_sent(request, replace(reply, headers={**reply.headers, "Content-Length": str(half)}))
    await response.write(reply.body[:half])
    if request.transport:
        request.transport.write(reply.body[half:])
    _close(request)
    return response


async def _send_bad_gzip(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    response = await _headers_sent(
        request, replace(reply, headers={**_unencoded(reply).headers, "Content-Encoding": "gzip"})
    )
    await response.write(GZIP_HEAD + b"not deflated at all")
    return response


async def _send_huge(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    response = await _headers_sent(request, _unencoded(reply))
    for _ in range((fault.size or HUGE) // BLOCK):
        await response.write(b" " * BLOCK)
    return response


async def _send_gzip_bomb(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    encoded = {"Content-Encoding": "gzip"}
    response = await _headers_sent(request, replace(reply, headers={**_unencoded(reply).headers, **encoded}))
    for piece in gzip_of_blanks((fault.size or BOMB) // BLOCK):
        await response.write(piece)
    return response


def gzip_of_blanks(blocks: int) -> Iterator[bytes]:
    """A block that ends in a full flush refers to nothing before it, so the same bytes can be repeated."""
    blank = b" " * BLOCK
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)
    yield GZIP_HEAD
    checksum = 0
    for _ in range(blocks):
        checksum = zlib.crc32(blank, checksum)
        yield packed
    yield b"\x03\x00" + struct.pack("<LL", checksum, blocks * BLOCK & 0xFFFFFFFF)


async def _send_late(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.delay_s)
    return await send(request, reply)


async def _send_slowly(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    response = await _headers_sent(request, reply)
    step = -(-len(reply.body) // BODY_PIECES) or 1
    for start in range(0, len(reply.body), step):
        await asyncio.sleep(fault.delay_s / BODY_PIECES)
        await response.write(reply.body[start : start + step])
    return response


async def _reset(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    _abort(request)
    return web.Response()


async def _reset_in_headers(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    if request.transport:
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: applica")
    await asyncio.sleep(fault.delay_s)  # as below
    _abort(request)
    return web.Response()


async def _reset_after_headers(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    response = await _headers_sent(request, reply)
    await response.write(reply.body[: len(reply.body) // 2])
    # A reset discards what the client has not read yet: the wait is the fault's, not a guard.
    await asyncio.sleep(fault.delay_s)
    _abort(request)
    return response


async def _never_answer(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    """Until the client goes or the server is stopped: either cancels the request."""
    await asyncio.Event().wait()
    return web.Response()


Sender = Callable[[web.Request, Reply, Fault], Awaitable[web.StreamResponse]]

BADLY: dict[FaultKind, Sender] = {
    "truncated": _send_truncated,
    "short_length": _send_short_length,
    "bad_gzip": _send_bad_gzip,
    "huge": _send_huge,
    "gzip_bomb": _send_gzip_bomb,
    "slow_headers": _send_late,
    "slow_body": _send_slowly,
    "reset_before_headers": _reset,
    "reset_in_headers": _reset_in_headers,
    "reset_after_headers": _reset_after_headers,
    "silent": _never_answer,
}
NEVER_ACTS: frozenset[FaultKind] = frozenset({"reset_before_headers", "silent", "huge", "gzip_bomb", *INSTEAD})


async def _headers_sent(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    await response.prepare(request)
    return response


def _unencoded(reply: Reply) -> Reply:
    hidden = {"content-encoding", "content-length"}
    return replace(reply, headers={name: value for name, value in reply.headers.items() if name.lower() not in hidden})


def _close(request: web.Request) -> None:
    if request.transport:
        request.transport.close()


def _abort(request: web.Request) -> None:
    """A reset (RST) rather than an orderly end."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
