"""A reverse caching proxy for api.discogs.com that adds a playable audio match to every track it knows."""

__version__ = "0.1.0"
