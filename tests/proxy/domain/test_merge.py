from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.models import Audio, ProcessingStatus, StoredMatch
from proxy.domain.merge import (
    Audience,
    enrich_inventory,
    enriched_row,
    flat_members,
    joined,
    posted_of,
    store_result,
    store_row,
)
from proxy.domain.wire import decode_json, encode_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(['"seller":null', '{"seller":null}', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "title", "seller", "audio_matches"]) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)
SELLERS = st.none() | OBJECTS
MATCHES = st.fixed_dictionaries(
    {
        "track_index": st.integers(0, 3),
        "position": st.sampled_from(["A1", ""]),
        "title": st.text(max_size=5),
        "platform": st.none() | st.just("youtube"),
        "match_url": st.just("https://youtu.be/x"),
        "confidence": st.floats(0, 100),
        "approved": st.booleans(),
        "verified_by": st.none() | st.text(max_size=3),
        "verified_at": st.none() | st.just("2026-01-01T00:00:00.000000+00:00"),
    },
    optional={"sub_index": st.integers(0, 2)},
)


def audio_with(status: ProcessingStatus, persisted: bool, matches: list[StoredMatch]) -> Audio:
    return Audio(status, persisted, encode_json(matches), all_shown_from(matches))


def all_shown_from(matches: list[StoredMatch]) -> float | None:
    """As schema.sql has it."""
    places = {(match["track_index"], match.get("sub_index")) for match in matches}
    if not matches or len(places) < len(matches) or not all(match["approved"] for match in matches):
        return None
    return min(match["confidence"] for match in matches)


AUDIO = st.builds(audio_with, st.sampled_from(ProcessingStatus), st.booleans(), st.lists(MATCHES, max_size=4))
AUDIENCES = st.builds(Audience, st.none() | st.floats(0, 100), st.floats(0, 100))


@st.composite
def listings(draw: st.DrawFn) -> dict[str, object]:
    """Of a release, with a seller somewhere among whatever else there may be."""
    members = list({**draw(OBJECTS), **draw(OBJECTS), "release": {"id": 7} | draw(OBJECTS), "seller": None}.items())
    return dict(draw(st.permutations(members)))


def same(text: bytes) -> object:
    """The order of members counts."""
    return json.loads(text, object_pairs_hook=list)


@given(st.lists(st.tuples(listings(), AUDIO), max_size=3), SELLERS, AUDIENCES)
def test_a_row_as_it_is_stored_becomes_what_its_listing_becomes(
    rows: list[tuple[dict[str, object], Audio]], seller: dict[str, object] | None, audience: Audience
) -> None:
    stored = None if seller is None else encode_json(seller)
    made = joined([enriched_row(encode_json(row), audio, audience) for row, audio in rows], stored, lambda text: text)
    wanted = [row for listing, audio in rows for row in _enriched(listing | {"seller": seller}, audio, audience)]
    assert same(b"[" + made + b"]") == same(encode_json(wanted))


def _enriched(listing: dict[str, object], audio: Audio, audience: Audience) -> list[object]:
    page = enrich_inventory({"listings": [listing]}, {7: audio}, audience)["listings"]
    assert isinstance(page, list)
    return page


@given(listings(), SELLERS, AUDIO, AUDIENCES, st.dictionaries(st.sampled_from(["genres", "images"]), VALUES))
def test_a_store_row_is_its_result(
    listing: dict[str, object],
    seller: dict[str, object] | None,
    audio: Audio,
    audience: Audience,
    details: dict[str, object],
) -> None:
    now, told = datetime(2026, 1, 1, tzinfo=UTC), encode_json(details)[1:-1]
    row, result = encode_json(listing), store_result(listing | {"seller": seller}, "shop", audio, told, audience, now)
    for flat in (flat_members(row, "shop"), None):
        written = store_row(row, flat, "shop", audio, told, audience, now)
        made = joined([written], None if seller is None else encode_json(seller), lambda text: text)
        assert same(made) == same(encode_json(result))


def test_a_listing_that_has_members_of_a_result_itself_is_written_anew() -> None:
    assert flat_members(b'{"id": 1, "thumb": "another", "seller": null}', "shop") is None
    assert flat_members(b'{"id": 1, "tracklist": [], "seller": null}', "shop") is None


def test_all_of_a_row_is_rewritten() -> None:
    row, seller = b'{"uri":"here","seller":null}', b'{"url":"here"}'
    rewritten = joined([row, row], seller, lambda text: text.replace(b"here", b"there"))
    assert decode_json(b"[" + rewritten + b"]") == [{"uri": "there", "seller": {"url": "there"}}] * 2


@pytest.mark.parametrize(
    ("posted", "moment"),
    [
        ("2023-05-07T01:45:30-07:00", datetime(2023, 5, 7, 8, 45, 30, tzinfo=UTC)),
        ("2023-05-07T01:45:30", None),
        ("yesterday", None),
        ("", None),
        (1683449130, None),
        (None, None),
    ],
)
def test_when_a_listing_was_posted_is_told_with_its_time_zone_or_not_at_all(
    posted: object, moment: datetime | None
) -> None:
    assert posted_of({"posted": posted}) == moment
