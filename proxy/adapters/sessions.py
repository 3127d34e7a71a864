"""All SQL of the sessions that were ended before they expired."""

from __future__ import annotations

from datetime import UTC, datetime

from matcher.database import Connection
from proxy.domain.access import Session


async def end(connection: Connection, session: Session) -> None:
    """For ever; what has expired meanwhile is forgotten."""
    await connection.execute("DELETE FROM ended_sessions WHERE expires_at < now() - interval '1 day'")
    await connection.execute(
        "INSERT INTO ended_sessions (session_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        session.id,
        datetime.fromtimestamp(session.expires_at, UTC),
    )


async def has_ended(connection: Connection, session: Session) -> bool:
    return bool(await connection.fetchval("SELECT true FROM ended_sessions WHERE session_id = $1", session.id))
