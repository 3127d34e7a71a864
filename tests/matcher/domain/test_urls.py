from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.urls import canonical_url, playable_url, spelling

WATCH = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


@pytest.mark.parametrize(
    ("given_url", "playable"),
    [
        ("http://youtu.be/dQw4w9WgXcQ?t=3", ("youtube", WATCH)),
        ("https://vimeo.com/123456", ("vimeo", "https://vimeo.com/123456")),
        (" https://soundcloud.com/a/b ", ("soundcloud", "https://soundcloud.com/a/b")),
        ("https://someone.bandcamp.com/track/x", ("bandcamp", "https://someone.bandcamp.com/track/x")),
        ("https://www.example.org/a.mp3?x=1", ("example.org", "https://www.example.org/a.mp3?x=1")),
        ("https://notbandcamp.com/x", ("notbandcamp.com", "https://notbandcamp.com/x")),
        ("https://www.youtube.com/playlist?list=PL1", None),
        ("https://vimeo.com/channels/x", None),
        ("https://a@example.org/", None),
        ("https://:secret@example.org/", None),
        ("https://example/", None),
        ("https://[::1]/", None),
        ("https://127.0.0.1/", None),
        ("https://2130706433/", None),
        ("https://example.org:x/", None),
        ("https://example.org/a b", None),
        ("https://example.org/ü", None),
        ("https://example.org/\n", ("example.org", "https://example.org/")),
        ("https://exa\tmple.org/", None),
        ("//example.org/", None),
        ("data:text/html,x", None),
        (None, None),
    ],
)
def test_what_a_person_names_is_shown_only_if_it_is_harmless(
    given_url: object, playable: tuple[str, str] | None
) -> None:
    assert playable_url(given_url) == playable


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (WATCH, "http://m.youtube.com/watch?feature=x&v=dQw4w9WgXcQ#t=4"),
        ("https://example.org/a/", "http://EXAMPLE.org/a#x"),
        ("https://player.vimeo.com/video/123456", "https://vimeo.com/123456"),
        ("https://youtu.be/aaaaaaaaaaa/", "https://www.youtube.com/watch?v=aaaaaaaaaaa"),
        ("https://www.youtube.com/live/aaaaaaaaaaa?feature=share", "https://www.youtube.com/watch?v=aaaaaaaaaaa"),
        ("https://www.youtube.com/embed/aaaaaaaaaaa/", "https://www.youtube.com/watch?v=aaaaaaaaaaa"),
        ("https://www.youtube-nocookie.com/embed/aaaaaaaaaaa", "https://www.youtube.com/watch?v=aaaaaaaaaaa"),
        ("https://www.deezer.com/en/track/7", "https://www.deezer.com/track/7"),
        ("https://deezer.com/track/7?utm_source=share", "https://www.deezer.com/track/7"),
        ("https://m.soundcloud.com/tidal-club/signal?si=1", "https://soundcloud.com/tidal-club/signal"),
    ],
)
def test_one_thing_has_one_spelling(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)


def test_other_things_have_others() -> None:
    urls = [WATCH, WATCH[:-1] + "q", "https://example.org/a", "https://example.org/A", "https://example.org/a?b=1"]
    assert len({spelling(each) for each in urls}) == len(urls)


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    spelling(text)
    found = playable_url(text)
    assert found is None or playable_url(found[1]) == found
    assert canonical_url(text) is None or spelling(text) == spelling(str((canonical_url(text) or ("", ""))[1]))
