"""What a browser may be sent to from the operator's page: players that are embedded, links, and covers.

URLs come from providers and from Discogs: none is taken over as it is before it has been recognised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from matcher.domain.urls import canonical_url, playable_url

IMAGE_HOSTS = ("i.discogs.com", "img.discogs.com", "st.discogs.com", "s.discogs.com", "api-img.discogs.com")
FRAME_HOSTS = (
    *("www.youtube-nocookie.com", "www.youtube.com", "player.vimeo.com", "widget.deezer.com"),
    *("w.soundcloud.com", "open.spotify.com", "embed.music.apple.com"),
)

DEEZER_TRACK = re.compile(r"/(?:[a-z]{2}/)?track/([0-9]{1,19})/?")
SPOTIFY_TRACK = re.compile(r"/(?:intl-[a-z]{2}/)?track/([A-Za-z0-9]{22})/?")
APPLE_PATH = re.compile(r"/[a-z]{2}/(?:album|song)/[A-Za-z0-9%._~-]{1,200}(?:/[0-9]{1,19})?")
APPLE_SONG = re.compile(r"(?:[a-z]+=[A-Za-z0-9]*&)*i=([0-9]{1,19})(?:&.*)?")


@dataclass(frozen=True, slots=True)
class Player:
    """An embedded player; `is_video`: shown at 16:9 and at least 200 pixels high, as YouTube's terms say."""

    src: str
    is_video: bool


def player_of(url: str | None) -> Player | None:
    """None where its host gives none that can be embedded."""
    if url is None:
        return None
    if found := canonical_url(url):
        platform, one_form = found
        if platform == "youtube":
            video_id = one_form.rpartition("=")[2]
            return Player(f"https://www.youtube-nocookie.com/embed/{video_id}?autoplay=1&rel=0", True)
        return Player(f"https://player.vimeo.com/video/{one_form.rpartition('/')[2]}?autoplay=1&dnt=1", True)
    link = link_of(url)
    return _audio_player(link) if link else None


def _audio_player(link: str) -> Player | None:
    parts = urlsplit(link)
    host = (parts.hostname or "").removeprefix("www.")
    if host == "deezer.com" and (track := DEEZER_TRACK.fullmatch(parts.path)):
        return Player(f"https://widget.deezer.com/widget/auto/track/{track[1]}?autoplay=true&radius=true", False)
    if host == "soundcloud.com":
        return Player(f"https://w.soundcloud.com/player/?url={quote(link, safe='')}&auto_play=true", False)
    if host == "open.spotify.com" and (track := SPOTIFY_TRACK.fullmatch(parts.path)):
        return Player(f"https://open.spotify.com/embed/track/{track[1]}", False)
    if host in ("music.apple.com", "itunes.apple.com") and APPLE_PATH.fullmatch(parts.path):
        song = APPLE_SONG.fullmatch(parts.query)
        return Player(f"https://embed.music.apple.com{parts.path}{f'?i={song[1]}' if song else ''}", False)
    return None


def link_of(url: str | None) -> str | None:
    """The URL where it may be followed: https, to a public host, nothing strange in it."""
    found = playable_url(url)
    return found[1] if found and found[1].startswith("https://") else None


def image_of(url: object) -> str | None:
    """The URL of a picture that Discogs hosts, None for any other."""
    if not isinstance(url, str) or len(url) > 1000 or not url.startswith("https://"):
        return None
    try:
        parts = urlsplit(url)
        is_plain = parts.port is None and parts.username is None
    except ValueError:
        return None
    is_ours = parts.hostname in IMAGE_HOSTS and url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\")
    return url if is_plain and is_ours else None


def content_security_policy() -> str:
    """Nothing but our own script and style, Discogs' pictures and the players above."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            f"img-src 'self' {' '.join(f'https://{host}' for host in IMAGE_HOSTS)}",
            f"frame-src {' '.join(f'https://{host}' for host in FRAME_HOSTS)}",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
