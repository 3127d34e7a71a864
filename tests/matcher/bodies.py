"""Release bodies for tests of the matcher, small and plain."""

from __future__ import annotations

import orjson

VIDEO_IDS = ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")


def release_body(release_id: int, *, videos: int = 2, **changes: object) -> dict[str, object]:
    """A two-track single by one artist; `videos` of its tracks have a video that fits in every respect."""
    titles = ("Morning Signal", "Harbour Lights")
    return {
        "id": release_id,
        "title": "Morning Signal / Harbour Lights",
        "artists": [{"name": "The Tidal Club", "anv": "", "join": "", "id": 5}],
        "year": 1994,
        "labels": [{"name": "Quay Records", "catno": "QR 7"}],
        "genres": ["Electronic"],
        "styles": ["Deep House"],
        "thumb": "",
        "uri": f"https://www.discogs.com/release/{release_id}",
        "images": [],
        "tracklist": [
            {"position": position, "type_": "track", "title": title, "duration": "6:02"}
            for position, title in zip(("A", "B"), titles, strict=True)
        ],
        "videos": [
            {
                "uri": f"https://www.youtube.com/watch?v={VIDEO_IDS[place]}",
                "title": f"The Tidal Club - {title}",
                "duration": 362,
                "description": "",
                "embed": True,
            }
            for place, title in enumerate(titles[:videos])
        ],
    } | changes


def encoded(body: dict[str, object]) -> bytes:
    return orjson.dumps(body)
