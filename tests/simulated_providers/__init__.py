"""Audio providers of one's own: the real ones' shapes, limits and failures over the simulated Discogs' catalogue."""

from .deezer import SimulatedDeezer
from .musicbrainz import SimulatedMusicBrainz
from .oembed import SimulatedOembed
from .songs import Song, songs_of

__all__ = ["SimulatedDeezer", "SimulatedMusicBrainz", "SimulatedOembed", "Song", "songs_of"]
