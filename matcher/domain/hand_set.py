"""What evidence is worth for which there is no labelled data: set by hand, in log-odds, beside the fitted weights."""

from __future__ import annotations

HAND_SET: dict[str, float] = {
    "same ISRC": 3.5,
    "approved for another pressing": 6.0,
    "rejected for another pressing": -10.0,
}
"""An ISRC identifies a recording (IFPI, ISRC Handbook), but labels give some to another version by mistake: so it
outweighs the doubts about a search result, says nothing where the duration is impossible, and opens no gate.

A person's word on the same recording outweighs what a title says; a rejection is to leave less than the even odds
from which on shoppers see a match, however well all else agrees.
"""
