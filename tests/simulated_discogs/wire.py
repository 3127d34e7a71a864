"""The two stacks that answer for Discogs: how each writes JSON and which headers it sends."""

import json
import re
from collections.abc import Mapping
from enum import Enum

import orjson

CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,99}")
MEDIA_TYPE = re.compile(r"application/vnd\.discogs\.v2\.(discogs|html|plaintext)\+json")


class Stack(Enum):
    OLD = "old"
    NEW = "new"


CLOUDFLARE_HEADERS = {
    "Server": "cloudflare",
    "cf-cache-status": "DYNAMIC",
    "strict-transport-security": "max-age=15552000",
    "alt-svc": 'h3=":443"; ma=86400',
}
OLD_CORS_HEADERS = {
    "access-control-allow-headers": "Content-Type, authorization, User-Agent, Private-Auth-Secret, Discogs-UID",
    "access-control-allow-methods": "HEAD,OPTIONS,GET,OPTIONS",
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Location",
}
OLD_HEADERS = {
    "Cache-Control": "public, must-revalidate",
    "content-language": "en",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "1; mode=block",
}


def written(body: object, stack: Stack) -> bytes:
    """Old: as Python's json writes it, `{"id": 1, "t": "\\u00e9"}`; new: compact, in raw UTF-8."""
    return json.dumps(body).encode() if stack is Stack.OLD else orjson.dumps(body)


def jsonp(callback: str, status: int, body: object) -> bytes:
    meta = {"meta": {"status": status}, "data": body}
    return f"{callback}({json.dumps(meta)})".encode()


def asked_callback(parameter: str) -> str | None:
    return parameter if CALLBACK.fullmatch(parameter) else None


def media_type(accept: str) -> str:
    """`discogs` for any Accept that does not ask for html or plaintext."""
    match = MEDIA_TYPE.search(accept)
    return match[1] if match else "discogs"


def stack_headers(stack: Stack, status: int, request_headers: Mapping[str, str]) -> dict[str, str]:
    """Without Cloudflare's; the new stack allows an origin only when told one, and never on an error."""
    if stack is Stack.OLD:
        return OLD_CORS_HEADERS | OLD_HEADERS | {"x-discogs-media-type": _old_media_type(request_headers)}
    return {"access-control-allow-origin": "*"} if "Origin" in request_headers and status < 400 else {}


def _old_media_type(request_headers: Mapping[str, str]) -> str:
    asked = media_type(request_headers.get("Accept", ""))
    return "discogs.v2" if asked == "discogs" else f"discogs.v2.{asked}"


def accepts_gzip(accept_encoding: str) -> bool:
    offers = [offer.replace(" ", "").lower() for offer in accept_encoding.split(",")]
    return any(offer.partition(";")[0] in {"gzip", "*"} and not offer.endswith(";q=0") for offer in offers)
