"""From upstream's answers to the client's: which are answers at all, JSONP, origins, and the errors that pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from proxy.adapters.upstream import Answer, checked_json
from proxy.domain.policy import Decision
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.wire import (
    BrokenBody,
    decode_json,
    encode_json,
    headers_for_client,
    is_jsonp,
    rewrite_origins,
    split_jsonp,
)
from proxy.errors import BudgetExhausted, UpstreamBroken
from proxy.settings import OFFICIAL_API_URL

RETRY_AFTER_429_S = 60.0
"""Discogs sends no Retry-After; its window is a minute."""


@dataclass(frozen=True, slots=True)
class Document:
    """The JSON object of an answer. `seal` puts a changed one into the envelope it came in (none, or JSONP)."""

    content: dict[str, object]
    raw: bytes
    seal: Callable[[bytes], bytes]


def document(answer: Answer) -> Document:
    """Raises UpstreamBroken unless the answer holds one JSON object."""
    if is_jsonp(answer.content_type):
        return _jsonp_document(answer)
    content = checked_json(answer)
    if not isinstance(content, dict):
        raise UpstreamBroken("Discogs answered with JSON that is not an object.")
    return Document(content, answer.body, lambda body: body)


def _jsonp_document(answer: Answer) -> Document:
    try:
        callback, inner = split_jsonp(answer.body)
        envelope = decode_json(inner)
    except BrokenBody as error:
        raise UpstreamBroken(f"Discogs answered with a broken body: {error}.") from None
    data = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(envelope, dict) or not isinstance(data, dict):
        raise UpstreamBroken("Discogs answered with JSONP that holds no object.")

    def seal(body: bytes) -> bytes:
        return b"%s(%s)" % (callback, encode_json(envelope | {"data": decode_json(body)}))

    return Document(data, encode_json(data), seal)


def served(
    request: ShopRequest,
    answer: Answer,
    body: bytes,
    decision: Decision,
    upstream_origin: str,
    reuse: Reuse | None = None,
) -> Served:
    """The answer with upstream's end-to-end headers; origins rewritten in body, Link and Location."""
    origins = (upstream_origin, OFFICIAL_API_URL)
    return Served(
        status=answer.status,
        headers=tuple(client_headers(answer, origins, request.public_origin)),
        body=rewrite_origins(body, origins, request.public_origin),
        decision=decision,
        reuse=reuse,
    )


def client_headers(answer: Answer, origins: tuple[str, ...], public_origin: str) -> list[tuple[str, str]]:
    return [
        (name, _rewritten(value, origins, public_origin) if name.lower() in ("link", "location") else value)
        for name, value in headers_for_client(answer.headers.items())
    ]


def _rewritten(value: str, origins: tuple[str, ...], public_origin: str) -> str:
    return rewrite_origins(value.encode("utf-8", "surrogateescape"), origins, public_origin).decode(
        "utf-8", "surrogateescape"
    )


def error_served(request: ShopRequest, answer: Answer, upstream_origin: str, decision: Decision) -> Served:
    """An upstream error passes with its status and JSON body. Raises BudgetExhausted or UpstreamBroken otherwise."""
    if answer.status == 429:
        raise BudgetExhausted("You are making requests too quickly.", retry_after_s=RETRY_AFTER_429_S)
    if answer.status >= 400 and not is_jsonp(answer.content_type):
        checked_json(answer)
    return served(request, answer, answer.body, decision, upstream_origin)


Change = Callable[[Answer], Answer]


def unchanged(answer: Answer) -> Answer:
    return answer


def made_public(change: Callable[[dict[str, object]], dict[str, object]]) -> Change:
    """Takes out of a good answer what only the operator sees, whose token asked for it. Raises UpstreamBroken."""

    def apply(answer: Answer) -> Answer:
        if answer.status != 200:
            return answer
        found = document(answer)
        return replace(answer, body=found.seal(encode_json(change(found.content))))

    return apply
