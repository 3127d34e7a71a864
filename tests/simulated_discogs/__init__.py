"""A Discogs of one's own: the real API's shapes, headers, limits and failures over generated data."""

from .catalogue import Catalogue
from .churn import Event
from .faults import FAULT_KINDS, Fault
from .rate_limit import most_within
from .server import Call, SimulatedDiscogs
from .values import SECRET, Heading, Listing, Release, Track, Video

__all__ = [
    "FAULT_KINDS",
    "SECRET",
    "Call",
    "Catalogue",
    "Event",
    "Fault",
    "Heading",
    "Listing",
    "Release",
    "SimulatedDiscogs",
    "Track",
    "Video",
    "most_within",
]
