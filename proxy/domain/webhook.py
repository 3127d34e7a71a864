"""Webhooks by the Standard Webhooks specification 1.0.0: events, batches, their signature, and when to send again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

import orjson

from proxy.domain.http_fields import http_date
from proxy.domain.visibility import PICTURES, is_poor

BATCH_MAX: Final = 100
"""Events. A body stays below the 20 kB that the specification recommends, or little above."""

FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 900.0
"""Of what tells a shop to look again, news is worth little when it is late: no longer pauses than this."""

JITTER: Final = 0.25
"""A pause is longer by up to this part of it."""

RETRY_AFTER_MAX_S: Final = 3600.0
"""A receiver that asks for more is asked again after that."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - it only marks what follows
SECRET_LEAST_BYTES: Final = 24
"""The specification's least length of a secret."""


# --- events -------------------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """What happened."""

    LISTING_ADDED = "listing.added"
    LISTING_REMOVED = "listing.removed"
    LISTING_CHANGED = "listing.changed"
    RELEASE_MATCHED = "release.matched"
    MATCH_REJECTED = "match.rejected"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a store, or, where no store sells the release, in none.

    `data` has ids alone: a price would be restricted content, which must not be told hours later.
    """

    type: EventType
    store: str | None
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it waits to be sent; `data` is JSON."""

    event_id: UUID
    type: str
    at: datetime
    data: str


def listing_events(
    store: str,
    releases: Mapping[int, int],
    *,
    added: Collection[int] = (),
    removed: Collection[int] = (),
    changed: Collection[int] = (),
) -> list[Event]:
    """Of these listings; `releases` has the release of each. One that was added is not told as changed."""
    new = set(added)
    told = (
        (EventType.LISTING_REMOVED, removed),
        (EventType.LISTING_CHANGED, [each for each in changed if each not in new]),
        (EventType.LISTING_ADDED, added),
    )
    return [
        Event(kind, store, {"store": store, "listing_id": each, "release_id": releases.get(each)})
        for kind, listing_ids in told
        for each in listing_ids
    ]


def release_matched(release_id: int, stores: Collection[str]) -> list[Event]:
    """One for each store that sells it."""
    return _of_release(EventType.RELEASE_MATCHED, {"release_id": release_id}, stores)


def match_rejected(release_id: int, match: Mapping[str, object], stores: Collection[str]) -> list[Event]:
    """`match` says which: its `track_index`, `sub_index` and `match_url`."""
    return _of_release(EventType.MATCH_REJECTED, {"release_id": release_id, **match}, stores)


def _of_release(kind: EventType, data: Mapping[str, object], stores: Collection[str]) -> list[Event]:
    told: list[str | None] = [*sorted(stores)] or [None]
    return [Event(kind, store, {"store": store, **data}) for store in told]


def is_told(before: bytes, after: bytes) -> bool:
    """Whether a shop need know that a listing's JSON changed.

    Who wants or has the release changes all the time; all pictures go and come with the credential that is shown.
    """
    if before == after:
        return False
    beside = {"stats", *PICTURES} if is_poor(before) or is_poor(after) else {"stats"}
    return _without(beside, before) != _without(beside, after)


def _without(beside: Collection[str], listing: bytes) -> object:
    """The listing, but for these members of its release."""
    try:
        parsed = orjson.loads(listing)
    except orjson.JSONDecodeError:  # a lone surrogate
        return listing
    if isinstance(parsed, dict) and isinstance(release := parsed.get("release"), dict):
        return parsed | {"release": {name: value for name, value in release.items() if name not in beside}}
    return parsed


# --- what is sent -------------------------------------------------------------------------------------------------


def batch_body(store: str | None, events: Sequence[RecordedEvent]) -> bytes:
    """The same bytes for the same events. `timestamp` is that of the newest one."""
    return orjson.dumps(
        {
            "type": "events",
            "timestamp": max(each.at for each in events),
            "data": {
                "store": store,
                "events": [
                    {
                        "id": f"evt_{each.event_id.hex}",
                        "type": each.type,
                        "timestamp": each.at,
                        "data": orjson.Fragment(each.data),
                    }
                    for each in events
                ],
            },
        },
        option=orjson.OPT_UTC_Z,
    )


def signed_headers(key: bytes, batch_id: UUID, at: datetime, body: bytes) -> dict[str, str]:
    """`at` is when this attempt is made: a receiver refuses what is older than a few minutes."""
    message_id, timestamp = f"msg_{batch_id.hex}", str(int(at.timestamp()))
    digest = hmac.digest(key, b".".join((message_id.encode(), timestamp.encode(), body)), hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def signing_key(secret: str) -> bytes:
    """`whsec_` and base64, or any other text for its bytes. Raises ValueError where it is no base64."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError(f"must be base64 after {SECRET_PREFIX}")
    return key


# --- what became of it --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver's answer, of which nothing else counts. `retry_after` is that header field."""

    status: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """`reason` is a word or two: timeout, no connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    outcome: ClassVar = "delivered"


@dataclass(frozen=True, slots=True)
class Failed:
    """To be sent again after `retry_s`; for `hold_s` nothing at all is to be sent, as the receiver asks."""

    outcome: str
    reason: str
    retry_s: float
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants nothing any more (410)."""

    outcome: ClassVar = "gone"


Verdict = Delivered | Failed | Gone


def judge(ended: Answered | Unanswered, attempts: int, jitter: float, now: datetime) -> Verdict:
    """`attempts` counts this one; `jitter` is a random number from 0 to 1."""
    pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts - 1, 30)) * (1 + JITTER * jitter)
    match ended:
        case Unanswered(reason):
            return Failed("unanswered", reason, pause_s)
        case Answered(status) if 200 <= status < 300:
            return Delivered()
        case Answered(410):
            return Gone()
        case Answered(status, retry_after):
            hold_s = min(RETRY_AFTER_MAX_S, _retry_after_s(retry_after, now))
            return Failed("refused", f"status {status}", max(pause_s, hold_s), hold_s)


def _retry_after_s(value: str | None, now: datetime) -> float:
    """RFC 9110 section 10.2.3: seconds, or a date. 0 for what is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    at = http_date(text)
    return max(0.0, at - now.timestamp()) if at is not None else 0.0
