from __future__ import annotations

from matcher import decisions, review_view
from matcher.database import Database
from matcher.models import MatchStatus
from matcher.queue_store import Priority
from tests.matcher.test_decisions import A, B, decide, id_of
from tests.matcher.test_store import execute, judged, persist


async def listed(database: Database, status: MatchStatus, limit: int = 2) -> list[tuple[int, str | None]]:
    """All pages of it."""
    found: list[tuple[int, str | None]] = []
    after = None
    while True:
        async with database.connection() as connection:
            page, after = await review_view.matches(connection, status, limit, after)
        found += [(each.release_id, each.match_url) for each in page]
        if after is None:
            return found


async def test_pending_matches_come_as_shoppers_look_at_them(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A, confidence=60), judged("b", 1, url=B, confidence=80))
    await persist(database, 2, judged("a", 0, url=A, confidence=99))
    await persist(database, 3, judged("a", 0, url=A, confidence=55), judged("b", 1, url=B, approved=True))
    for release_id, priority, place in ((1, Priority.SEEN, 2), (2, Priority.HISTORY, 0), (3, Priority.SEEN, 1)):
        await execute(
            database,
            "UPDATE match_queue SET priority = $2, place = $3 WHERE release_id = $1",
            release_id,
            int(priority),
            place,
        )
    assert await listed(database, MatchStatus.PENDING) == [(3, A), (1, B), (1, A), (2, A)]
    assert await listed(database, MatchStatus.APPROVED) == [(3, B)]


async def test_a_decided_match_changes_its_list(database: Database) -> None:
    await persist(database, 1, *(judged("a", n, url=f"https://x.org/{n}") for n in range(5)))
    for n in (0, 1, 2):
        await decide(database, decisions.reject, await id_of(database, f"https://x.org/{n}"))
    assert await listed(database, MatchStatus.REJECTED) == [(1, f"https://x.org/{n}") for n in (2, 1, 0)]
    assert len(await listed(database, MatchStatus.PENDING)) == 2


async def test_a_match_is_shown_with_its_track_and_reasons(database: Database) -> None:
    await persist(database, 1, judged("a", 1, url=A))
    async with database.connection() as connection:
        match = await review_view.match(connection, await id_of(database, A))
    assert match
    assert (match.title, match.position, match.artist, match.status) == (
        "Harbour Lights",
        "B",
        "The Tidal Club",
        "pending",
    )
    assert '"title"' in match.reasons
