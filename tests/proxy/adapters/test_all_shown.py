"""The schema tells of which releases all matches are shown, by the rule that the merge of answers relies on."""

from __future__ import annotations

import itertools

import pytest

from matcher.database import Database
from matcher.models import StoredMatch
from proxy.domain.wire import encode_json
from tests.proxy.domain.test_merge import all_shown_from


def match(track_index: int, sub_index: int | None, confidence: float, *, approved: bool) -> StoredMatch:
    found = StoredMatch(
        track_index=track_index,
        position="A1",
        title="",
        platform=None,
        match_url="https://youtu.be/x",
        confidence=confidence,
        approved=approved,
        verified_by=None,
        verified_at=None,
    )
    return found if sub_index is None else StoredMatch(**found, sub_index=sub_index)


SEVERAL = (
    match(0, None, 93.3, approved=True),
    match(0, None, 60.0, approved=False),
    match(0, 0, 0.1, approved=True),
    match(0, 1, 99.9, approved=True),
    match(1, None, 100.0, approved=True),
)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
async def test_the_database_tells_when_all_matches_are_shown(database: Database, length: int) -> None:
    async with database.connection() as connection:
        for matches in itertools.product(SEVERAL, repeat=length):
            told = await connection.fetchval("SELECT all_shown_from($1::json)", encode_json(matches).decode())
            assert told == all_shown_from([*matches])
