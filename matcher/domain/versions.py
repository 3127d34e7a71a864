"""Words that tell which recording of a song is meant, by type. A table: add a word here, nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable

KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(words.split())
    for kind, words in {
        "remix": "remix remixed remixes rework reworked refix remake revamp revisited reconstruction rerub redux "
        "overhaul remodel retouch flip",
        "bootleg": "bootleg mashup blend",
        "edit": "edit reedit edited edits",
        "radio": "radio",
        "extended": "extended",
        "instrumental": "instrumental instrumentale",
        "acapella": "acapella acappella accapella acapela accappella capella cappella",
        "dub": "dub dubplate dubbed",
        "demo": "demo",
        "live": "live unplugged concert tour festival",
        "session": "session sessions peel",
        "acoustic": "acoustic",
        "karaoke": "karaoke singalong",
        "cover": "cover covers covered tribute",
        "altered": "sped slowed nightcore 8d reverb speed screwed 8bit chopped",
        "reprise": "reprise",
        "alternate": "alternate alternative outtake unreleased",
        "rehearsal": "rehearsal soundcheck",
        "club": "club",
        "vocal": "vocal",
        "mixed": "mixed megamix minimix medley dj",
        "beats": "beats bonus",
        "reversed": "backwards reversed",
        "lesson": "lesson tutorial reaction drumless backing documentary interview trailer story review unboxing",
        "recorded again": "rerecorded rerecording recorded",
    }.items()
}
"""Types that make another recording when only one side has them."""

NEUTRAL = frozenset(
    "original album version versions mix remaster remastered remasters mono stereo main full length single lp ep "
    "vinyl rip official explicit clean digital long short take".split()
)
"""Words of a version that leave the recording what it is, or say too little."""

KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}

EVERY = frozenset(KIND_OF) | NEUTRAL

ON_STAGE = frozenset({"live", "session", "rehearsal", "recorded again"})
BY_OTHERS = frozenset({"karaoke", "cover", "lesson"})

PHRASES = {
    "cover": ("made famous by", "in the style of", "originally performed", "tribute to", "performed by"),
    "recorded again": ("re recorded",),
}
"""Several words that name a type, folded."""

FULL_ALBUM = (
    *("full album", "full ep", "complete album", "full lp", "album completo", "full cd", "full length"),
    *("full concert", "complete concert", "full show", "whole album", "album full"),
)

NOISE = frozenset(
    "official oficial video audio music hd hq uhd 4k lyrics lyric letra visualizer subtitulado sub vinyl rip full "
    "track song promo clip videoclip upload reupload re youtube records recordings record label the a an and of in on "
    "featuring with by from new high quality 1080p 720p 480p 12 7 inch 45 33 78 rpm 45rpm 33rpm 78rpm wmv flv avi mp3 "
    "mp4 m4v wav digital lp ep cd side a1 a2 a3 a4 b1 b2 b3 b4 c1 c2 d1 d2 version mix original remastered remaster "
    "remasterizado deluxe edition release releases prod produced ost soundtrack score hits rare classic topic vevo "
    "single album stereo mono techno house trance electro disco funk soul jazz rock pop punk deep minimal progressive "
    "chicago detroit dance italo hip hop rap reggae dubstep ska blues country folk hardcore jungle breakbeat".split()
)
"""Words of a video's title that explain themselves."""


def kinds(tokens: Iterable[str]) -> frozenset[str]:
    """The types named by `tokens` (folded words)."""
    return frozenset(KIND_OF[token] for token in tokens if token in KIND_OF)
