"""The videos that people attach to a release: right ones, other versions, whole albums and plain mistakes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .values import Credit, Track, Video

CHANCE_OF_ANY = 0.75
CHANCE_OF_EXACT = 0.8
CHANCE_OF_UNKNOWN_LENGTH = 0.04
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# How a right video is titled, and how often.
EXACT_TITLES = (
    ("{artist} - {title}", 30),
    ("{artist} – {title}", 6),
    ("{artist} - {title} (Official Video)", 5),
    ("{artist} - {title} [Official Audio]", 2),
    ("{artist} - {title} (HQ)", 4),
    ("{artist} - {title} [{year}]", 4),
    ("{title} - {artist}", 5),
    ("{artist} ‎– {title} ({year}) Vinyl", 3),
    ("{ARTIST} - {TITLE}", 4),
    ("{artist_lower} {title_lower}", 4),
    ('{artist} "{title}"', 3),
    ("{position} {artist} - {title}", 3),
    ("{title}", 3),
    ("{artist} - {bare_title}", 6),
    ('{artist}- {title} / from "{album}"', 2),
)


@dataclass(frozen=True, slots=True)
class Other:
    """Another kind of video: how often a track has one, how it is titled and how its length compares."""

    kind: str
    chance: float
    titles: tuple[str, ...]
    length: Callable[[int, random.Random], int]


OTHERS = (
    Other(
        "live",
        0.06,
        (
            "{artist} - {title} (Live)",
            "{artist} - {bare_title} (Live at Montreux {year})",
            "{artist} {bare_title} live on TV",
        ),
        lambda seconds, draw: int(seconds * draw.uniform(1.08, 1.5)),
    ),
    Other(
        "other mix",
        0.07,
        (
            "{artist} - {bare_title} (Dub Mix)",
            "{artist} - {bare_title} (Club Remix)",
            "{artist} - {bare_title} [Radio Edit]",
        ),
        lambda seconds, draw: int(seconds * draw.choice((0.62, 1.3, 1.55))),
    ),
    Other(
        "cover",
        0.03,
        ("{bare_title} ({artist} cover)", "{artist} - {bare_title} - guitar lesson"),
        lambda seconds, draw: int(seconds * draw.uniform(0.8, 1.2)),
    ),
    Other(
        "wrong",
        0.05,
        ("{artist} - Another Song", "{artist} - Interview {year}", "Someone Else - {bare_title} In Dub"),
        lambda seconds, draw: draw.randint(90, max(900, seconds)),
    ),
)
FULL_ALBUM_TITLES = ("{artist} - {album} (Full Album)", "{artist} - {album} [FULL ALBUM] {year}", "{album} full LP")
CHANCE_OF_FULL_ALBUM = 0.25


def videos_of(album: str, artists: Sequence[Credit], tracks: Sequence[Track], draw: random.Random) -> tuple[Video, ...]:
    if draw.random() >= CHANCE_OF_ANY:
        return ()
    playable = [(number, track) for number, track in enumerate(tracks) if length_of(track)]
    found = [video for number, track in playable for video in _of_track(number, track, album, artists, draw)]
    full = _full_album(album, artists, tracks, draw)
    return tuple(draw.sample([*found, *full], len(found) + len(full))) or (_exact(*playable[0], album, artists, draw),)


def length_of(track: Track) -> int:
    """Seconds; an index track lasts as long as its parts, a heading not at all."""
    return track.seconds or sum(part.seconds for part in track.sub_tracks)


def _of_track(number: int, track: Track, album: str, artists: Sequence[Credit], draw: random.Random) -> list[Video]:
    exact = [_exact(number, track, album, artists, draw)] if draw.random() < CHANCE_OF_EXACT else []
    others = [other for other in OTHERS if draw.random() < other.chance]
    return exact + [_other(number, track, other, album, artists, draw) for other in others]


def _exact(number: int, track: Track, album: str, artists: Sequence[Credit], draw: random.Random) -> Video:
    template = draw.choices([t for t, _ in EXACT_TITLES], [weight for _, weight in EXACT_TITLES])[0]
    known = draw.random() >= CHANCE_OF_UNKNOWN_LENGTH
    seconds = max(1, length_of(track) + draw.randint(-2, 4)) if known else 0
    return _video(_titled(template, track, album, artists, draw), seconds, "exact", number, draw)


def _other(
    number: int, track: Track, other: Other, album: str, artists: Sequence[Credit], draw: random.Random
) -> Video:
    title = _titled(draw.choice(other.titles), track, album, artists, draw)
    return _video(title, other.length(length_of(track), draw), other.kind, number, draw)


def _full_album(album: str, artists: Sequence[Credit], tracks: Sequence[Track], draw: random.Random) -> list[Video]:
    if len(tracks) < 5 or draw.random() >= CHANCE_OF_FULL_ALBUM:
        return []
    length = sum(map(length_of, tracks))
    title = _titled(draw.choice(FULL_ALBUM_TITLES), tracks[0], album, artists, draw)
    return [_video(title, length + len(tracks) * 3, "full album", None, draw)]


def _titled(template: str, track: Track, album: str, artists: Sequence[Credit], draw: random.Random) -> str:
    artist, title = spoken(track.artists or artists), track.title
    return template.format(
        artist=artist,
        title=title,
        album=album,
        ARTIST=artist.upper(),
        TITLE=title.upper(),
        artist_lower=artist.lower(),
        title_lower=title.lower().replace("'", ""),
        bare_title=title.split(" (")[0],
        position=track.position or "A1.",
        year=draw.randint(1970, 2020),
    )


def spoken(artists: Sequence[Credit]) -> str:
    """The artists as people say them, without namesake numbers: "Wool & Dee Dee"."""
    names = [credit.artist.name.split(" (")[0] for credit in artists]
    joins = [{"": "", ",": ", "}.get(credit.join, f" {credit.join} ") for credit in artists]
    return "".join(name + join for name, join in zip(names, joins, strict=True)).strip(" ,&")


def _video(title: str, seconds: int, kind: str, track: int | None, draw: random.Random) -> Video:
    description = draw.choice((None, "", f"{title}\n\nProvided for promotional use only.\r\n© the owners ♫"))
    return Video("".join(draw.choices(ALPHABET, k=11)), title, seconds, description, kind, track)
