"""Bytes and headers as they go over the wire: what passes through a proxy, origins in bodies, gzip, JSON, Link."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import orjson

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 section 7.6.1; those that a Connection header names are added."""

NOT_SENT_UPSTREAM: Final = HOP_BY_HOP | {
    "host",
    "accept-encoding",
    "authorization",
    "content-length",
    "cookie",
    "discogs-uid",
    "expect",
    "forwarded",
    "private-auth-secret",
    "user-agent",
    "via",
    "x-real-ip",
    "x-request-id",
}
"""Set by ourselves, of this hop, or not for Discogs: it knows callers by Authorization or query, never by cookie."""

NOT_SENT_TO_CLIENTS: Final = HOP_BY_HOP | {
    "alt-svc",
    "cf-cache-status",
    "cf-ray",
    "content-encoding",
    "content-length",
    "date",
    "nel",
    "report-to",
    "server",
    "set-cookie",
    "strict-transport-security",
}
"""Of the connection to upstream, or said about upstream's host, not ours."""

OWN_PREFIXES: Final = ("access-control-", "x-discogs-ratelimit")
"""Headers that the proxy speaks for itself."""

Headers = Iterable[tuple[str, str]]


def headers_for_upstream(headers: Headers) -> list[tuple[str, str]]:
    """What of a client's headers goes upstream; credentials are added by whoever decided on them."""
    pairs = list(headers)
    dropped = NOT_SENT_UPSTREAM | named_by_connection(pairs)
    return [
        (name, value)
        for name, value in pairs
        if name.lower() not in dropped and not name.lower().startswith("x-forwarded-")
    ]


def headers_for_client(headers: Headers) -> list[tuple[str, str]]:
    """What of upstream's headers goes to the client."""
    pairs = list(headers)
    dropped = NOT_SENT_TO_CLIENTS | named_by_connection(pairs)
    return [
        (name, value)
        for name, value in pairs
        if name.lower() not in dropped and not name.lower().startswith(OWN_PREFIXES)
    ]


@lru_cache(maxsize=256)
def _takes_gzip(accept_encoding: str) -> bool:
    """RFC 9110 section 12.5.3."""
    offers = {}
    for offer in accept_encoding.lower().split(","):
        coding, _, weight = offer.replace(" ", "").partition(";q=")
        offers[coding] = weight.rstrip("0") not in ("", "0.") if _ else True
    return offers.get("gzip", offers.get("x-gzip", offers.get("*", False)))


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Whether a client takes gzip, by its Accept-Encoding headers."""
    return _takes_gzip(",".join(accept_encoding)) if accept_encoding else False


def named_by_connection(headers: Headers) -> frozenset[str]:
    values = [value for name, value in headers if name.lower() == "connection"]
    return frozenset(token.strip().lower() for value in values for token in value.split(","))


def header_lines(headers: Headers) -> bytes:
    """As they go over the wire (RFC 9112 section 5). Raises ValueError for a value that would begin another line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if any(line.count("\r") > 1 or line.count("\n") > 1 or "\0" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "".join(lines).encode("utf-8", "surrogateescape")


# --- origins ------------------------------------------------------------------------------------------------------


def rewrite_origins(text: bytes, origins: Iterable[str], public: str) -> bytes:
    """Put `public` in place of each of `origins`, wherever one stands as a whole origin.

    `https://api.discogs.com.example` and `https://api.discogs.com:99` are other origins and stay. JSON may write a
    slash as `\\/`.
    """
    text = rewrite_own_json(text, origins, public)
    if b"\\" not in text:
        return text
    for each in dict.fromkeys(origins):
        text = _rewritten(text, each.replace("/", "\\/").encode(), public.replace("/", "\\/").encode(), b"\\/")
    return text


def rewrite_own_json(text: bytes, origins: Iterable[str], public: str) -> bytes:
    """The same in JSON that we wrote: we escape no slash."""
    for each in dict.fromkeys(origins):
        text = _rewritten(text, each.encode(), public.encode(), b"/")
    return text


def _rewritten(text: bytes, origin: bytes, public: bytes, slash: bytes) -> bytes:
    """Before a path, where nearly all of them stand, without a pattern: that takes a tenth of the time."""
    if origin not in text:
        return text
    if origin not in public:
        text = text.replace(origin + slash, public + slash)
    if origin in text:
        text = re.sub(re.escape(origin) + rb"(?![\w.:@-])", lambda _: public, text)
    return text


# --- bodies -------------------------------------------------------------------------------------------------------


class BrokenBody(ValueError):
    """Not what its headers say: no gzip, no JSON."""


class TooLong(ValueError):
    """Longer than the limit when unpacked."""


class Unpacker:
    """Unpacks a content coding piece by piece, and stops at `limit` bytes: a small body may unpack to gigabytes."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        coding = content_encoding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BrokenBody(f"content coding {coding!r} was not asked for")
        self._inflate = zlib.decompressobj(wbits=47) if coding not in ("", "identity") else None
        self._pieces: list[bytes] = []
        self._left = limit

    def feed(self, piece: bytes) -> None:
        """Raises BrokenBody or TooLong."""
        unpacked = piece if self._inflate is None else self._unpack(piece)
        self._left -= len(unpacked)
        if self._left < 0:
            raise TooLong
        self._pieces.append(unpacked)

    def _unpack(self, piece: bytes) -> bytes:
        assert self._inflate is not None  # noqa: S101 - told by the type
        try:
            return self._inflate.decompress(piece, self._left + 1)
        except zlib.error as error:
            raise BrokenBody(f"broken content coding: {error}") from None

    def finish(self) -> bytes:
        """The whole body. Raises BrokenBody when it ended too early."""
        if self._inflate is not None and self._pieces and not self._inflate.eof:
            raise BrokenBody("the packed body ended too early")
        return b"".join(self._pieces)


def decode_json(body: bytes) -> object:
    """Raises BrokenBody. Lone surrogates, which Discogs' older servers can write, are read by the slower parser."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            raise BrokenBody(f"not JSON: {error}") from None


def _no_json(constant: str) -> object:
    """NaN and Infinity, which Python would read."""
    raise ValueError(f"{constant} is not JSON")


def encode_json(value: object) -> bytes:
    """Compact UTF-8; ASCII with escapes where UTF-8 cannot hold a lone surrogate."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), default=datetime.isoformat).encode()


def append_members(json_object: bytes, members: Mapping[str, object]) -> bytes:
    """Add members at the end of a JSON object, leaving its own bytes as they are."""
    head = json_object.rstrip()
    if not head.endswith(b"}"):
        raise BrokenBody("not a JSON object")
    head = head[:-1].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    return head + comma + encode_json(dict(members))[1:]


def is_json(content_type: str) -> bool:
    media_type = content_type.split(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def is_html(content_type: str) -> bool:
    return content_type.split(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def is_jsonp(content_type: str) -> bool:
    return content_type.split(";")[0].strip().lower() in ("text/javascript", "application/javascript")


JSONP: Final = re.compile(rb"\s*([\w.$\[\]]+)\((.*)\)\s*;?\s*", re.DOTALL)


def split_jsonp(body: bytes) -> tuple[bytes, bytes]:
    """`cb({...})` to (`cb`, `{...}`). Raises BrokenBody."""
    found = JSONP.fullmatch(body)
    if not found:
        raise BrokenBody("not a JSONP call")
    return found[1], found[2]
