from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from proxy.domain.players import FRAME_HOSTS, image_of, link_of, player_of


@pytest.mark.parametrize(
    ("url", "src"),
    [
        ("https://youtu.be/dQw4w9WgXcQ", "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ?autoplay=1&rel=0"),
        ("http://vimeo.com/12345", "https://player.vimeo.com/video/12345?autoplay=1&dnt=1"),
        (
            "https://www.deezer.com/en/track/3135556",
            "https://widget.deezer.com/widget/auto/track/3135556?autoplay=true&radius=true",
        ),
        (
            "https://soundcloud.com/a/b?c=d&e",
            "https://w.soundcloud.com/player/?url=https%3A%2F%2Fsoundcloud.com%2Fa%2Fb%3Fc%3Dd%26e&auto_play=true",
        ),
        (
            "https://music.apple.com/us/album/x/1?i=2&uo=4",
            "https://embed.music.apple.com/us/album/x/1?i=2",
        ),
        ("https://someone.bandcamp.com/track/x", None),
        ("https://evil.example/embed/dQw4w9WgXcQ", None),
        ("javascript:alert(1)", None),
        (None, None),
    ],
)
def test_only_known_players_are_embedded(url: str | None, src: str | None) -> None:
    player = player_of(url)
    assert (player.src if player else None) == src
    assert src is None or urlsplit(src).hostname in FRAME_HOSTS


@pytest.mark.parametrize(
    "url", ["http://a.example/b", "javascript:alert(1)", 'https://a.example/"x', "https://u:p@a.example/", None]
)
def test_a_link_that_may_not_be_followed_is_none(url: str | None) -> None:
    assert link_of(url) is None
    assert link_of("https://a.example/b") == "https://a.example/b"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x.png",
        "http://i.discogs.com/x",
        "https://i.discogs.com:1/x",
        "https://i.discogs.com/'x",
        5,
    ],
)
def test_only_pictures_that_discogs_hosts_are_shown(url: object) -> None:
    assert image_of(url) is None
    assert image_of("https://i.discogs.com/a/b.jpeg") == "https://i.discogs.com/a/b.jpeg"
