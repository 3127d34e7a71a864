"""Joins what upstream says with what we know: audio matches on listings and releases, the store-shaped results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import inf

from matcher.models import Audio, ProcessingStatus, StoredMatch
from proxy.domain.wire import BrokenBody, decode_json, encode_json

NOTHING_KNOWN = Audio(status=ProcessingStatus.QUEUED, persisted=False)


@dataclass(frozen=True, slots=True)
class Audience:
    """Which matches a shopper sees: approved ones, and pending ones from `pending_from` up unless that is None."""

    pending_from: float | None
    min_confidence: float = 0.0

    @property
    def pending_least(self) -> float:
        """The confidence from which a pending match is seen."""
        return inf if self.pending_from is None else max(self.pending_from, self.min_confidence)


def audio_matches(audio: Audio, audience: Audience) -> list[StoredMatch]:
    """The best visible match of each track, in the order of the tracklist; rows arrive best first."""
    approved_least, pending_least = audience.min_confidence, audience.pending_least
    found: list[StoredMatch] = []
    last = None
    for match in audio.matches:  # those of a track are neighbours
        place = match["track_index"], match.get("sub_index")
        if place != last and match["confidence"] >= (approved_least if match["approved"] else pending_least):
            found.append(match)
            last = place
    return found


def audio_matches_json(audio: Audio, audience: Audience) -> bytes:
    """The same as JSON, without reading it where all is shown, as mostly."""
    if audio.all_shown_from is not None and audio.all_shown_from >= audience.min_confidence:
        return audio.matches_json
    return encode_json(audio_matches(audio, audience))


@lru_cache(maxsize=256)
def timestamp(moment: datetime) -> str:
    """In ISO 8601. Rows of a page were fetched at few moments."""
    return moment.isoformat()


def additions(audio: Audio, audience: Audience) -> dict[str, object]:
    """The two members that a listing and a release gain."""
    return {"audio_matches": audio_matches(audio, audience), "processing_status": audio.status.value}


def release_id_of(listing: object) -> int | None:
    """The id of the release that a listing sells, None where it has none that can be one."""
    release = listing.get("release") if isinstance(listing, dict) else None
    release_id = release.get("id") if isinstance(release, dict) else None
    return release_id if type(release_id) is int and 0 < release_id < 2**31 else None


def posted_of(listing: Mapping[str, object]) -> datetime | None:
    """When the listing was put up or last edited; None where that is not told, or without its time zone."""
    posted = listing.get("posted")
    try:
        moment = datetime.fromisoformat(posted) if isinstance(posted, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def listings_of(inventory: object) -> list[dict[str, object]]:
    rows = inventory.get("listings") if isinstance(inventory, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def description_of(listing: object) -> str | None:
    """Artist, title and format, as Discogs puts them."""
    release = listing.get("release") if isinstance(listing, dict) else None
    description = release.get("description") if isinstance(release, dict) else None
    return description if isinstance(description, str) else None


def listing_ids(inventory: object) -> list[int]:
    return [number for row in listings_of(inventory) if type(number := row.get("id")) is int and 0 < number < 2**63]


def for_sale_release_ids(inventory: object) -> list[int]:
    """Of the rows that are For Sale, in their order, each once: what may be enqueued from anybody's answer."""
    found = (release_id_of(row) for row in listings_of(inventory) if row.get("status") == "For Sale")
    return list(dict.fromkeys(release_id for release_id in found if release_id is not None))


def release_ids(listings: Iterable[Mapping[str, object]]) -> list[int]:
    return list(dict.fromkeys(found for row in listings if (found := release_id_of(row)) is not None))


def enrich_inventory(inventory: dict[str, object], known: Mapping[int, Audio], audience: Audience) -> dict[str, object]:
    """The page with `audio_matches` and `processing_status` at the end of every listing."""
    rows = inventory.get("listings")
    if not isinstance(rows, list):
        return inventory
    return inventory | {"listings": [_enrich_row(row, known, audience) for row in rows]}


def _enrich_row(row: object, known: Mapping[int, Audio], audience: Audience) -> object:
    release_id = release_id_of(row)
    if not isinstance(row, dict) or release_id is None:
        return row
    return row | additions(known.get(release_id, NOTHING_KNOWN), audience)


# --- rows of the mirror -------------------------------------------------------------------------------------------

NO_SELLER = b'"seller":null'


def joined(rows: Sequence[bytes], seller: bytes | None, rewrite: Callable[[bytes], bytes]) -> bytes:
    """Rows of the mirror as members of a JSON array, with the seller in its old place; all of it rewritten.

    In a row the seller is null. Nothing inside a string looks like that, as quotes are escaped there; where a row has
    other than one such place, it is read.
    """
    if seller is None:
        return rewrite(b",".join(rows))
    between = rewrite(b",".join(rows)).split(NO_SELLER)
    if len(between) != len(rows) + 1 or not all(NO_SELLER in row for row in rows):
        return rewrite(b",".join(_with_seller(row, seller) for row in rows))
    return (b'"seller":' + rewrite(seller)).join(between)


def _with_seller(row: bytes, seller: bytes) -> bytes:
    listing = decode_json(row)
    if not isinstance(listing, dict) or "seller" not in listing:
        return row
    return encode_json(listing | {"seller": decode_json(seller)})


def enriched_row(row: bytes, audio: Audio, audience: Audience) -> bytes:
    """As `enrich_inventory` makes it of the listing, without reading it."""
    if b'"audio_matches":' in row or b'"processing_status":' in row:
        listing = decode_json(row)
        return encode_json(_enrich_row(listing, {release_id_of(listing) or 0: audio}, audience))
    return b'%s,"audio_matches":%s,"processing_status":"%s"}' % (
        row[:-1],
        audio_matches_json(audio, audience),
        audio.status.value.encode(),
    )


# --- the store-shaped results -------------------------------------------------------------------------------------


def store_result(
    listing: Mapping[str, object],
    store_username: str,
    audio: Audio,
    details: bytes,
    audience: Audience,
    fetched_at: datetime,
) -> dict[str, object]:
    """One row of `/api/stores/{id}/inventory`: the listing and flat fields, and `details` of its release, which are
    members of a JSON object.

    Of those the images are restricted content: the caller leaves them out when they are too old.
    """
    read = decode_json(b"{%s}" % details)
    assert isinstance(read, dict)  # noqa: S101 - whatever the members are
    return dict(listing) | _flat(listing, store_username) | _of_audio(audio, audience, fetched_at) | read


def store_row(
    row: bytes,
    flat: bytes | None,
    store_username: str,
    audio: Audio,
    details: bytes,
    audience: Audience,
    fetched_at: datetime,
) -> bytes:
    """The same as JSON, of a row of the mirror and its `flat_members`: nothing is written that is written already."""
    if flat is None:
        listing = decode_json(row)
        if not isinstance(listing, dict):
            return row
        return encode_json(store_result(listing, store_username, audio, details, audience, fetched_at))
    matches = audio_matches_json(audio, audience)
    return b'%s,%s,"has_audio_matches":%s,"last_updated":"%s","audioMatches":%s,"processingStatus":"%s"%s%s}' % (
        row[:-1],
        flat,
        b"false" if matches == b"[]" else b"true",
        timestamp(fetched_at).encode(),
        matches,
        audio.status.value.encode(),
        b"," if details else b"",
        details,
    )


def flat_members(row: bytes, store_username: str) -> bytes | None:
    """What a store-shaped result says beside the listing whatever its audio is, as JSON without the braces.

    None where the listing has such members itself, or those of a release's details: theirs are put in their place.
    """
    try:
        listing = decode_json(row)
    except BrokenBody:
        return None
    if not isinstance(listing, dict) or not listing.keys().isdisjoint(RESULT_MEMBERS):
        return None
    return encode_json(_flat(listing, store_username))[1:-1]


def _flat(listing: Mapping[str, object], store_username: str) -> dict[str, object]:
    release = listing.get("release")
    release = release if isinstance(release, dict) else {}
    return {
        "discogs_id": release.get("id"),
        "title": release.get("title"),
        "artist": release.get("artist"),
        "year": release.get("year"),
        "label": release.get("label"),
        "catno": release.get("catalog_number"),
        "thumb": release.get("thumbnail"),
        "discogs_uri": f"https://www.discogs.com/release/{release.get('id')}",
        "store_username": store_username,
    }


def _of_audio(audio: Audio, audience: Audience, fetched_at: datetime) -> dict[str, object]:
    matches = audio_matches(audio, audience)
    return {
        "has_audio_matches": bool(matches),
        "last_updated": timestamp(fetched_at),
        "audioMatches": matches,
        "processingStatus": audio.status.value,
    }


LISTING_MEMBERS = frozenset(
    {
        *("id", "resource_url", "uri", "status", "condition", "sleeve_condition", "comments", "ships_from", "posted"),
        *("allow_offers", "offer_submitted", "audio", "price", "original_price"),
        *("shipping_price", "original_shipping_price", "shipping_is_blocked", "seller", "release"),
    }
)
"""Of Discogs, as far as the public sees them. What it adds is shown as well, but cannot be asked for by itself."""

RESULT_MEMBERS = frozenset(
    {
        *("discogs_id", "title", "artist", "year", "label", "catno", "thumb", "discogs_uri", "store_username"),
        *("has_audio_matches", "last_updated", "audioMatches", "processingStatus"),
        *("genres", "styles", "tracklist", "images"),
    }
)
"""That a store-shaped result has beside those of the listing."""


def cache_stats(cached: int, total: int) -> dict[str, int]:
    """cached: answered from persisted releases; fresh: the rest."""
    return {"cached": cached, "fresh": total - cached, "total": total}
