"""Answers of providers as they are kept while a job is parked, so that nobody is asked twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from matcher.models import Candidate

BYTES_MAX = 200_000
"""More is not worth keeping: those providers are asked again."""


def packed(fingerprint: str, answers: Mapping[str, Sequence[Candidate]]) -> bytes | None:
    """Of the release as `fingerprint` tells it."""
    rows = {provider: [_row(candidate) for candidate in found] for provider, found in answers.items()}
    text = json.dumps([fingerprint, rows]).encode()
    return text if len(text) <= BYTES_MAX else None


def _row(candidate: Candidate) -> dict[str, object]:
    """Without what people said: only our own database knows that, and it is asked each time."""
    return {name: value for name, value in asdict(candidate).items() if name != "said"}


def unpacked(kept: bytes | None, fingerprint: str) -> dict[str, tuple[Candidate, ...]]:
    """None of them when the release has changed, or another version of ours kept them."""
    if kept is None:
        return {}
    try:
        of, rows = json.loads(kept)
        if of != fingerprint:
            return {}
        return {provider: tuple(Candidate(**row) for row in found) for provider, found in rows.items()}
    except (TypeError, ValueError, AttributeError):
        return {}
