"""Real answers of providers, where they are at hand: beside the samples of Discogs that DISCOGS_SAMPLES names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest


def recorded(provider: str, pattern: str = "*.json") -> list[Any]:
    """All bodies of that name; skips the test where there are no samples."""
    folder = os.environ.get("DISCOGS_SAMPLES")
    if not folder:
        pytest.skip("DISCOGS_SAMPLES names no folder of real samples")
    found = [
        orjson.loads(path.read_bytes()) for path in sorted((Path(folder).parent / "providers" / provider).glob(pattern))
    ]
    assert found
    return found
