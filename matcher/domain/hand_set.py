"""What evidence is worth for which there is no labelled data: set by hand, in log-odds, beside the fitted weights."""

from __future__ import annotations

HAND_SET: dict[str, float] = {
    "same ISRC": 3.5,
}
"""An ISRC identifies a recording (IFPI, ISRC Handbook), but labels give some to another version by mistake: so it
outweighs the doubts about a search result, says nothing where the duration is impossible, and opens no gate."""
