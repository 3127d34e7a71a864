from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.metadata import display_artist, fingerprint, metadata, storable
from tests.matcher.bodies import release_body

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


def test_the_facts_are_read_from_the_body() -> None:
    facts = metadata(release_body(1))
    assert (facts.title, facts.artist, facts.year) == ("Morning Signal / Harbour Lights", "The Tidal Club", 1994)
    assert (facts.label, facts.catno, facts.genres) == ("Quay Records", "QR 7", ["Electronic"])
    assert len(facts.tracklist) == 2


@pytest.mark.parametrize(
    ("artists", "name"),
    [
        (
            [{"name": "A", "join": "&"}, {"name": "B (2)", "anv": "Bee", "join": ","}, {"name": "C", "join": ""}],
            "A & Bee, C",
        ),
        ([{"name": "A", "anv": "", "join": "Feat."}, {"name": "B"}], "A Feat. B"),
        ([{"name": "A", "join": ","}], "A"),
        ([None, 3, {"name": 5}], None),
        ("A", None),
        (None, None),
    ],
)
def test_artists_are_shown_as_the_release_prints_them(artists: object, name: str | None) -> None:
    assert display_artist(artists) == name


@given(
    st.dictionaries(
        st.sampled_from(["title", "artists", "labels", "year", "images", "tracklist", "genres"]), json_values
    )
)
def test_no_body_is_too_odd(body: dict[str, object]) -> None:
    facts = metadata(body)
    for stored in (facts.genres, facts.tracklist, facts.images):
        assert "\0" not in "".join(strings(stored))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in (*value, *value.values()) for text in strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings(item))


@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_what_is_storable_is_utf8_without_nul(value: object) -> None:
    text = "".join(strings(storable(value)))
    assert "\0" not in text.encode().decode()


def test_a_lone_surrogate_is_replaced() -> None:
    assert storable({"a": ["x\ud83dy\0"]}) == {"a": ["x?y"]}


def test_the_fingerprint_follows_tracks_and_videos_alone() -> None:
    body = release_body(1)
    assert fingerprint(body) == fingerprint(release_body(2, title="Other", community={"have": 3}))
    assert fingerprint(body) != fingerprint(release_body(1, videos=1))
    assert fingerprint(body) != fingerprint(release_body(1, tracklist=[]))
    assert fingerprint({}) == fingerprint({"tracklist": None, "videos": []})
