"""Audio providers of one's own: the real ones' shapes, limits and failures over the simulated Discogs' catalogue."""

from .deezer import SimulatedDeezer
from .itunes import SimulatedITunes
from .musicbrainz import SimulatedMusicBrainz
from .oembed import SimulatedOembed
from .songs import Song, songs_of
from .youtube import SimulatedYouTube

__all__ = [
    "SimulatedDeezer",
    "SimulatedITunes",
    "SimulatedMusicBrainz",
    "SimulatedOembed",
    "SimulatedYouTube",
    "Song",
    "songs_of",
]
