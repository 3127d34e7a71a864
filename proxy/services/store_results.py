"""The results of store-shaped answers: rows of the mirror, joined with what is known of their audio at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from matcher.database import Database
from matcher.models import Audio
from matcher.store import Details
from proxy.adapters import mirror
from proxy.adapters.mirror import MirrorRow, ToldRow
from proxy.domain.lifetimes import may_leave
from proxy.domain.merge import NOTHING_KNOWN, Audience, audio_matches, joined, store_result, store_row
from proxy.domain.paging import PER_PAGE_MAX
from proxy.domain.store_query import KEYS, Key, StoreQuery, arranged, facts_of, fits
from proxy.domain.wire import decode_json, encode_json, rewrite_own_json
from proxy.errors import Degraded
from proxy.services.orders import Backwards

CHUNK = 250
"""Rows read at once: about half a megabyte of JSON, and as much work as others may wait for."""


@dataclass(frozen=True, slots=True)
class View:
    """How results are shown to who asks. `origins` are those in whose place `public_origin` is put."""

    audience: Audience
    public_origin: str
    origins: tuple[str, ...]
    fields: frozenset[str]
    content_max_age_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Results as the members of a JSON array. `left_out` grew too old while the answer was made."""

    body: bytes
    shown: int
    persisted: int
    left_out: int


async def chunks(
    database: Database,
    username: str,
    listing_ids: Sequence[int],
    seller: bytes | None,
    view: View,
    now: Callable[[], datetime],
) -> AsyncIterator[Chunk]:
    """In the order of `listing_ids`, all with this `seller`.

    No connection is held between two chunks: the client may be slow.

    What vanishes meanwhile leaves its row behind, so that all is of one version of the mirror. Raises Degraded where
    the store itself was dropped, DatabaseUnavailable.
    """
    for ids in _cut(listing_ids):
        async with database.connection() as connection:
            found = await mirror.told_rows(connection, username, ids)
        if len(found) < len(ids):
            raise Degraded("The store was dropped while it was read.", 5)
        rows = [(username, found[each]) for each in ids]
        if len(rows) <= PER_PAGE_MAX:  # less work than to hand it over
            yield chunk_of(rows, {username: seller}, view, now())
        else:
            yield await asyncio.to_thread(chunk_of, rows, {username: seller}, view, now())


def _cut(listing_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(listing_ids), CHUNK):
        yield listing_ids[first : first + CHUNK]


def chunk_of(
    rows: Sequence[tuple[str, ToldRow]], sellers: Mapping[str, bytes | None], view: View, now: datetime
) -> Chunk:
    """Of rows with their stores, whose `sellers` are JSON. Those that are too old to leave are left out."""
    leaving = [(username, told) for username, told in rows if _leaves(told.row.fetched_at, view, now)]

    def rewrite(text: bytes) -> bytes:
        return rewrite_own_json(text, view.origins, view.public_origin)

    body = b",".join(
        joined([_result(username, told, view, now) for _, told in of_store], sellers.get(username), rewrite)
        for username, of_store in groupby(leaving, key=itemgetter(0))
    )
    persisted = sum(told.audio.persisted for _, told in leaving)
    return Chunk(body, len(leaving), persisted, len(rows) - len(leaving))


def _result(username: str, told: ToldRow, view: View, now: datetime) -> bytes:
    """Its seller is null, or left out."""
    details = _that_may_leave(told.details, view, now)
    row = told.row
    if not view.fields:
        return store_row(row.body, told.flat, username, told.audio, details, view.audience, row.fetched_at)
    listing = decode_json(row.body)
    listing = listing if isinstance(listing, dict) else {}
    result = store_result(listing, username, told.audio, details, view.audience, row.fetched_at)
    return encode_json({name: value for name, value in result.items() if name in view.fields})


def _leaves(fetched_at: datetime, view: View, now: datetime) -> bool:
    return may_leave((now - fetched_at).total_seconds(), view.content_max_age_s)


def _that_may_leave(details: Details | None, view: View, now: datetime) -> bytes:
    """Without images of more than six hours or of unknown age; the other facts are CC0."""
    if details is None:
        return b""
    shown = details.images_at is not None and _leaves(details.images_at, view, now)
    return b'%s,"images":%s' % (details.facts, details.images) if shown else details.facts


# --- filters and sorts --------------------------------------------------------------------------------------------


async def picked(
    database: Database, username: str, listing_ids: Sequence[int], query: StoreQuery, audience: Audience
) -> Sequence[int]:
    """The ids that fit, in the order asked for; `listing_ids` are oldest first.

    One pass over the rows, a chunk at a time. An id and a sort key are kept of each row that fits: some hundred bytes,
    and upstream shows 20,000 listings of a store at most. Raises DatabaseUnavailable.
    """
    if not query.needs_facts:
        return Backwards(listing_ids) if query.descending else listing_ids
    found: list[tuple[Key, int]] = []
    for ids in _cut(listing_ids):
        async with database.connection() as connection:
            if query.needs_audio:
                rows, audio = await mirror.rows_with_audio(connection, username, ids)
            else:
                rows, audio = await mirror.rows(connection, username, ids), {}
        found += await asyncio.to_thread(_fitting, [rows[each] for each in ids if each in rows], audio, query, audience)
    return arranged(query, found)


def _fitting(
    rows: Sequence[MirrorRow], audio: Mapping[int, Audio], query: StoreQuery, audience: Audience
) -> list[tuple[Key, int]]:
    found = []
    for row in rows:
        listing = decode_json(row.body)
        matches = audio_matches(audio.get(row.release_id, NOTHING_KNOWN), audience)
        facts = facts_of(listing if isinstance(listing, dict) else {}, has_audio=bool(matches))
        if fits(query, facts):
            found.append((KEYS[query.sort](facts), row.listing_id))
    return found
