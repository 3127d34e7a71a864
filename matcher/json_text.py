"""JSON as others write it: also with lone surrogates, which are in old titles at Discogs and in cut ones elsewhere."""

from __future__ import annotations

import json

import orjson


def parse_json(body: bytes) -> object:
    """Raises ValueError when it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
