from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.providers.links import playable


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://youtu.be/dQw4w9WgXcQ", ("youtube", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")),
        ("https://www.deezer.com/track/109213576", ("deezer", "https://www.deezer.com/track/109213576")),
        ("http://deezer.com/en/track/1/?utm=x", ("deezer", "https://www.deezer.com/track/1")),
        ("https://a-band.bandcamp.com/track/a-song", ("bandcamp", "https://a-band.bandcamp.com/track/a-song")),
        ("https://m.soundcloud.com/who/what/", ("soundcloud", "https://soundcloud.com/who/what")),
        ("https://www.deezer.com/album/687686261", None),
        ("https://a-band.bandcamp.com/album/a-record", None),
        ("https://bandcamp.com/track/a-song", None),
        ("https://evil.example/x.bandcamp.com/track/a", None),
        ("https://x.bandcamp.com.evil.example/track/a", None),
        ('https://x.bandcamp.com/track/"><script>', None),
        ("https://soundcloud.com/who", None),
        ("https://soundcloud.com/who/sets", None),
        ("https://soundcloud.com/who/sets/record", None),
        ("https://open.spotify.com/track/782PTXsbAWB70ySDZ5NHmP", None),
        ("javascript:alert(1)//www.deezer.com/track/1", None),
        ("https://[::1", None),
        ("https://www.deezer.com/track/" + "1" * 600, None),
        (None, None),
        (7, None),
    ],
)
def test_only_single_tracks_of_platforms_that_embed_are_playable(uri: object, expected: tuple[str, str] | None) -> None:
    assert playable(uri) == expected


@given(st.text())
def test_what_is_playable_is_https(path: str) -> None:
    for host in ("x.bandcamp.com/track/", "soundcloud.com/x/", "www.deezer.com/track/", ""):
        found = playable(f"https://{host}{path}")
        assert found is None or (found[1].startswith("https://") and '"' not in found[1] and "<" not in found[1])
