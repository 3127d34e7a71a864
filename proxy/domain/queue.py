"""What an operator asks of the match queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matcher.domain.queue_words import QueueState
from matcher.models import MatchCursor
from proxy.domain.review import LIMIT_DEFAULT, LIMIT_MAX, cursor, whole_number
from proxy.errors import BadRequest


@dataclass(frozen=True, slots=True)
class AskedJobs:
    """`after`: None for the first page."""

    state: QueueState
    limit: int
    after: MatchCursor | None


def asked_jobs(query: Mapping[str, str]) -> AskedJobs:
    """Raises BadRequest."""
    try:
        state = QueueState(query.get("status", QueueState.QUEUED))
    except ValueError:
        raise BadRequest(f"status must be one of: {', '.join(QueueState)}.") from None
    limit = whole_number(query.get("limit", str(LIMIT_DEFAULT)), "limit", LIMIT_MAX, least=1)
    return AskedJobs(state, limit, cursor(query["cursor"], state) if query.get("cursor") else None)
