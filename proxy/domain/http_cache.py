"""What a shared cache may keep, for how long, and what it may do with it: RFC 9111 and RFC 5861 as pure rules.

Rules of our own, and not hishel's sans-IO core: that reads the clock inside its rules, and knows nothing of Age from
other caches, of request directives beyond no-cache, of conditions and ranges answered from what is stored, of HEAD
answered from GET, of RFC 5861. With the best of storages it passes 118 required and 62 optimal checks of
http-cache-tests 0.4.5; these rules pass 139 and 76, in a sixth of its lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from multidict import CIMultiDict

from proxy.domain.http_fields import (
    Directives,
    Fields,
    age_value_s,
    as_http_date,
    directives,
    http_date,
    vary_names,
)
from proxy.domain.wire import headers_for_client, named_by_connection

HEURISTIC: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be kept without explicit freshness (RFC 9110 section 15.1); not 206, as we keep no parts."""

UNDERSTOOD: Final = HEURISTIC | {302, 303, 307, 400, 401, 403, 406, 409, 500, 502, 503, 504}
"""For must-understand (RFC 9111 section 5.2.2.3)."""

HEURISTIC_SHARE: Final = 0.1
HEURISTIC_MOST_S: Final = 86_400.0
"""A tenth of the time since the last change (RFC 9111 section 4.2.2), a day at most."""

DISCONNECTED_MOST_S: Final = 86_400.0
"""Past its freshness a copy may be shown so long while upstream cannot be asked (RFC 9111 section 4.2.4)."""

SHAREABLE: Final = ("public", "s-maxage", "must-revalidate")
"""What makes an answer to somebody with a credential everybody's (RFC 9111 section 3.5)."""

SERVER_ERRORS: Final = frozenset({500, 502, 503, 504})
"""RFC 5861 section 4."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The head of a stored answer. `born` is when its age was 0, in seconds since 1970 (RFC 9111 section 4.2.3)."""

    status: int
    fields: CIMultiDict[str]
    born: float
    purged: bool = False

    @property
    def directives(self) -> Directives:
        return directives(self.fields)

    def age_s(self, now: float) -> float:
        return max(0.0, now - self.born)


# --- age and freshness (section 4.2) ------------------------------------------------------------------------------


def born(fields: Fields, requested_at: float, received_at: float) -> float:
    """The corrected initial age, as the time of birth; 1970 at the earliest."""
    date = http_date(fields.get("Date"))
    apparent_age = max(0.0, received_at - date) if date is not None else 0.0
    corrected_age = age_value_s(fields) + (received_at - requested_at)
    return max(0.0, received_at - max(apparent_age, corrected_age))


def lifetime_s(stored: Stored, most_s: float) -> float:
    """How long it is fresh. `most_s` bounds it whatever upstream says."""
    said = stored.directives
    for name in ("s-maxage", "max-age"):
        seconds = said.seconds(name)
        if seconds is not None:
            return min(seconds, most_s)
    date = http_date(stored.fields.get("Date")) or stored.born
    if "Expires" in stored.fields:
        return min(_until_expires(stored.fields, date), most_s)
    changed = http_date(stored.fields.get("Last-Modified"))
    if changed is None or not (stored.status in HEURISTIC or "public" in said):
        return 0.0
    return min(max(0.0, date - changed) * HEURISTIC_SHARE, HEURISTIC_MOST_S, most_s)


def _until_expires(fields: Fields, date: float) -> float:
    """What is no date, or several, lies in the past (section 5.3)."""
    lines = set(fields.getall("Expires"))
    expires = http_date(lines.pop()) if len(lines) == 1 else None
    return 0.0 if expires is None else max(0.0, expires - date)


# --- what may be stored (section 3) -------------------------------------------------------------------------------

CREDENTIAL_FIELD: Final = re.compile(
    r"auth|token|secret|api-?key|password|session|jwt|signature|cert|user|account|email", re.IGNORECASE
)
"""Request fields by whose names a server may know its caller."""

STEERING_FIELD: Final = re.compile(r"x-(?:original|rewrite|http-method|method-override|host)", re.IGNORECASE)
"""Request fields for which some servers answer another request than the one that we see."""


def bears_credentials(sent: Fields) -> bool:
    return any(CREDENTIAL_FIELD.search(name) for name in sent)


def is_steered(sent: Fields) -> bool:
    return any(STEERING_FIELD.match(name) for name in sent)


def is_shareable(fields: Fields) -> bool:
    """May be given to, and taken from, requests with credentials."""
    said = directives(fields)
    return any(name in said for name in SHAREABLE)


DECISIVE: Final = frozenset({"cache-control", "vary", "expires", "age", "date", "etag", "last-modified"})
"""Fields that a Connection header could have us forget."""


def is_storable(stored: Stored, *, credentials: bool, most_s: float) -> bool:
    """Of the answer to a GET. Only what can be used again: fresh for a while, or with a validator."""
    said = stored.directives
    if stored.status in (206, 304) or stored.status < 200 or vary_names(stored.fields) is None:
        return False
    if "private" in said or (credentials and not is_shareable(stored.fields)) or _is_forbidden(stored.status, said):
        return False
    if named_by_connection(stored.fields.items()) & DECISIVE:
        return False
    if "Set-Cookie" in stored.fields and not (said.bare("public") or "s-maxage" in said):
        return False  # what begins a session may show it in the body
    if not is_explicit(stored) and stored.status not in HEURISTIC:
        return False
    return has_validator(stored) or (lifetime_s(stored, most_s) > 0 and not said.bare("no-cache"))


def _is_forbidden(status: int, said: Directives) -> bool:
    """must-understand stands for no-store where the status is understood, and forbids where it is not."""
    return status not in UNDERSTOOD if "must-understand" in said else "no-store" in said


def is_explicit(stored: Stored) -> bool:
    said = stored.directives
    return "Expires" in stored.fields or any(name in said for name in ("public", "s-maxage", "max-age"))


def has_validator(stored: Stored) -> bool:
    return "ETag" in stored.fields or "Last-Modified" in stored.fields


def passed_fields(fields: Fields, received_at: float) -> CIMultiDict[str]:
    """What of an answer goes to its client: all that is not of the connection, and a Date that is one."""
    passed = CIMultiDict(headers_for_client(fields.items()))
    passed.extend(("Content-Encoding", value) for value in fields.getall("Content-Encoding", ()))
    date = fields.get("Date", "")
    passed["Date"] = date if http_date(date) is not None else as_http_date(received_at)
    return passed


def kept_fields(passed: Fields) -> CIMultiDict[str]:
    """What of that is kept: not what no-cache lists (section 5.2.2.4), not the Age, which goes on."""
    dropped = directives(passed).fields("no-cache") | {"age"}
    return CIMultiDict((name, value) for name, value in passed.items() if name.lower() not in dropped)


NOT_FRESHENED: Final = frozenset(
    {"content-encoding", "content-length", "content-md5", "content-range", "etag", "vary", "set-cookie"}
)
"""They describe the stored bytes, or choose among stored answers: a 304 does not change them (section 3.2)."""


def freshened(stored: Stored, passed: Fields, born_again: float) -> Stored:
    """The stored head with what a 304, or the answer to a HEAD, says anew (sections 3.2, 4.3.4, 4.3.5)."""
    new = [(name, value) for name, value in kept_fields(passed).items() if name.lower() not in NOT_FRESHENED]
    said_anew = {name.lower() for name, _ in new}
    merged = CIMultiDict((name, value) for name, value in stored.fields.items() if name.lower() not in said_anew)
    merged.extend(new)
    return Stored(stored.status, merged, born_again)


# --- what may be shown (sections 4, 5.2.1; RFC 5861) --------------------------------------------------------------


class Why(StrEnum):
    """Why upstream is asked, in the words of RFC 9211 section 2.2."""

    MISS = "uri-miss"
    VARY = "vary-miss"
    STALE = "stale"
    REQUEST = "request"
    METHOD = "method"
    BYPASS = "bypass"


WHILE_REVALIDATED: Final = "stale-while-revalidate"


@dataclass(frozen=True, slots=True)
class Show:
    """The stored answer will do. `detail` says by which leave where it is stale."""

    age_s: float
    ttl_s: float
    detail: str | None = None


def reuse(stored: Stored, wanted: Directives, now: float, most_s: float) -> Show | Why:
    """`wanted` are the request's directives. Beyond `most_s` of age nothing is shown."""
    said, age_s = stored.directives, stored.age_s(now)
    ttl_s = lifetime_s(stored, most_s) - age_s
    if stored.purged or now < stored.born or age_s >= most_s or said.bare("no-cache"):
        return Why.STALE
    if "no-cache" in wanted or age_s > _or(wanted.seconds("max-age"), age_s):
        return Why.REQUEST
    if ttl_s > 0:
        return Show(age_s, ttl_s) if ttl_s >= _or(wanted.seconds("min-fresh"), 0.0) else Why.REQUEST
    if _must_be_validated(said):
        return Why.STALE
    if "max-stale" in wanted and (wanted.bare("max-stale") or -ttl_s <= _or(wanted.seconds("max-stale"), 0.0)):
        return Show(age_s, ttl_s, "max-stale")
    if -ttl_s < _or(said.seconds(WHILE_REVALIDATED), 0.0) and "min-fresh" not in wanted:
        return Show(age_s, ttl_s, WHILE_REVALIDATED)
    return Why.STALE


def stands_in(stored: Stored, now: float, most_s: float, status: int | None) -> Show | None:
    """Whether it may be shown in place of an error; `status` is upstream's, None where it gave no answer.

    Upstream's leave is needed to hide its own error, not to bridge its absence (section 4.2.4).
    """
    said, age_s = stored.directives, stored.age_s(now)
    ttl_s = lifetime_s(stored, most_s) - age_s
    if now < stored.born or age_s >= most_s or said.bare("no-cache") or _must_be_validated(said):
        return None
    if status is not None and status not in SERVER_ERRORS:
        return None
    allowed_s = _or(said.seconds("stale-if-error"), DISCONNECTED_MOST_S if status is None else -1.0)
    return Show(age_s, ttl_s, "stale-if-error") if -ttl_s <= allowed_s else None


def _must_be_validated(said: Directives) -> bool:
    """Once stale (sections 5.2.2.2, 5.2.2.8, 5.2.2.10)."""
    return any(name in said for name in ("must-revalidate", "proxy-revalidate", "s-maxage"))


def _or(seconds: float | None, otherwise: float) -> float:
    return otherwise if seconds is None else seconds


def conditions(stored: Stored) -> tuple[tuple[str, str], ...]:
    """The request fields that ask whether it still holds (section 4.3.1)."""
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return tuple((asked, stored.fields[said]) for asked, said in pairs if said in stored.fields)


def agrees(stored: Stored, fields: Fields, size: int) -> bool:
    """The answer to a HEAD describes the stored body of `size` bytes (section 4.3.5)."""
    told = {"ETag": stored.fields.get("ETag"), "Last-Modified": stored.fields.get("Last-Modified")}
    told["Content-Length"] = str(size)
    return all(fields[name] == ours for name, ours in told.items() if name in fields)
