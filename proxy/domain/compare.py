"""What an answer of the proxy has more, less or otherwise than Discogs' own, and which of that is meant to be so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from proxy.domain.visibility import OWNER_LISTING_FIELDS, STRANGERS_VALUES
from proxy.domain.wire import NOT_SENT_TO_CLIENTS, OWN_PREFIXES


class Kind(StrEnum):
    """Seen from Discogs."""

    ADDED = "added"
    MISSING = "missing"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Difference:
    """`where` is a header's name, or a place such as `listings[id=5].price.value`; empty for the whole body.

    `why` tells what is meant to be so; None: it is not.
    """

    kind: Kind
    where: str
    direct: object = None
    proxied: object = None
    why: str | None = None

    @property
    def pattern(self) -> str:
        """The same for each member of a list."""
        return re.sub(r"\[[^\]]*\]", "[]", self.where)


ADDITIONS = re.compile(r"(?:listings\[[^\]]*\]\.)?(?:audio_matches|processing_status)")
LISTING = re.compile(r"listings\[[^\]]*\]")
LISTING_FIELD = re.compile(r"listings\[[^\]]*\]\.(\w+)")
CALLERS_OWN = re.compile(r"(?:.*\.)?(?:user_data|stats\.user)")

OF_THE_CONNECTION = frozenset({"content-length", "content-encoding", "date", "server", "connection", "keep-alive"})
OF_THE_PROXY = frozenset({"age", "cache-control", "cache-status", "etag", "retry-after", "vary", "x-request-id"})
VOLATILE = NOT_SENT_TO_CLIENTS | OF_THE_CONNECTION

ABSENT = object()


# --- bodies -------------------------------------------------------------------------------------------------------


def bodies(direct: object, proxied: object, origins: Sequence[str], own: Sequence[str]) -> Iterator[Difference]:
    """Of two parsed JSON documents. URLs that begin with one of `origins` may lead to one of `own` instead."""
    return _values("", direct, proxied, _Origins(tuple(origins), tuple(own)))


@dataclass(frozen=True, slots=True)
class _Origins:
    upstream: tuple[str, ...]
    own: tuple[str, ...]

    def are_followed(self, direct: str, proxied: str) -> bool:
        return any(self._led_to(direct, own) == proxied for own in self.own)

    def _led_to(self, text: str, own: str) -> str:
        for origin in self.upstream:
            text = text.replace(origin, own)
        return text


def _values(where: str, direct: object, proxied: object, origins: _Origins) -> Iterator[Difference]:
    match direct, proxied:
        case _ if direct != proxied and (why := _why_changed(where, proxied)):
            yield Difference(Kind.CHANGED, where, direct, proxied, why)
        case dict(), dict():
            yield from _objects(where, direct, proxied, origins)
        case list(), list():
            yield from _lists(where, direct, proxied, origins)
        case str(), str() if direct != proxied and origins.are_followed(direct, proxied):
            yield Difference(Kind.CHANGED, where, direct, proxied, "leads to the proxy")
        case _ if type(direct) is not type(proxied) or direct != proxied:
            yield Difference(Kind.CHANGED, where, direct, proxied)


def _objects(
    where: str, direct: Mapping[str, object], proxied: Mapping[str, object], origins: _Origins
) -> Iterator[Difference]:
    for name in dict.fromkeys([*direct, *proxied]):
        yield from _members(f"{where}.{name}".lstrip("."), direct.get(name, ABSENT), proxied.get(name, ABSENT), origins)
    if [name for name in direct if name in proxied] != [name for name in proxied if name in direct]:
        yield Difference(Kind.MOVED, where, list(direct), list(proxied))


def _lists(where: str, direct: Sequence[object], proxied: Sequence[object], origins: _Origins) -> Iterator[Difference]:
    """By their ids where they have some: one that is new does not make all others differ."""
    ours, theirs = _by_id(proxied), _by_id(direct)
    if ours is None or theirs is None:
        ours, theirs = dict(enumerate(proxied)), dict(enumerate(direct))
        name = "{}"
    else:
        name = "id={}"
    for key in dict.fromkeys([*theirs, *ours]):
        yield from _members(f"{where}[{name.format(key)}]", theirs.get(key, ABSENT), ours.get(key, ABSENT), origins)
    if [key for key in theirs if key in ours] != [key for key in ours if key in theirs]:
        yield Difference(Kind.MOVED, where, list(theirs), list(ours))


def _by_id(values: Sequence[object]) -> dict[object, object] | None:
    """None where they have none, or one is there twice."""
    found = {each["id"]: each for each in values if isinstance(each, dict) and isinstance(each.get("id"), int)}
    return dict(found) if len(found) == len(values) else None


def _members(where: str, direct: object, proxied: object, origins: _Origins) -> Iterator[Difference]:
    if direct is ABSENT:
        yield Difference(Kind.ADDED, where, None, proxied, _why_added(where))
    elif proxied is ABSENT:
        yield Difference(Kind.MISSING, where, direct, None, _why_missing(where, direct))
    else:
        yield from _values(where, direct, proxied, origins)


def _why_added(where: str) -> str | None:
    return "what the proxy is for" if ADDITIONS.fullmatch(where) else None


def _why_missing(where: str, direct: object) -> str | None:
    """Of answers that are shared, where the direct call bears a user's own credential."""
    field, listing = LISTING_FIELD.fullmatch(where), LISTING.fullmatch(where)
    is_draft = listing and isinstance(direct, dict) and direct.get("status", "For Sale") != "For Sale"
    if is_draft or (field and field[1] in OWNER_LISTING_FIELDS):
        return "only the store's owner sees it"
    return "it is the asking user's: a shared answer has it not" if CALLERS_OWN.fullmatch(where) else None


def _why_changed(where: str, proxied: object) -> str | None:
    field = LISTING_FIELD.fullmatch(where)
    if field and field[1] in STRANGERS_VALUES and STRANGERS_VALUES[field[1]] == proxied:
        return "it has a value for the asking user alone"
    return None


# --- headers ------------------------------------------------------------------------------------------------------


def headers(
    direct: Mapping[str, str], proxied: Mapping[str, str], origins: Sequence[str], own: Sequence[str]
) -> Iterator[Difference]:
    """Of two answers; names compare without case (RFC 9110 section 5.1)."""
    theirs, ours = _lower(direct), _lower(proxied)
    for name in dict.fromkeys([*theirs, *ours]):
        before, after = theirs.get(name), ours.get(name)
        if before == after:
            continue
        kind = Kind.ADDED if before is None else Kind.MISSING if after is None else Kind.CHANGED
        followed = before and after and _Origins(tuple(origins), tuple(own)).are_followed(before, after)
        yield Difference(kind, name, before, after, "leads to the proxy" if followed else _why_header(name))


def _why_header(name: str) -> str | None:
    if name in OF_THE_PROXY or name.startswith(OWN_PREFIXES):
        return "the proxy says that for itself"
    return "of the connection or of Discogs' host" if name in VOLATILE or name.startswith("cf-") else None


def _lower(fields: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in fields.items()}
