"""People review matches: lists, decisions and their history; whoever sells the release is told of what was rejected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson

from matcher import decision_store, decisions, review_view, store
from matcher.database import Connection, Database
from matcher.decisions import Decided, DecidedRelease
from matcher.errors import NoSuchMatch, Undecidable
from matcher.models import Action
from matcher.review_view import PastDecision, ReviewedMatch
from proxy.adapters.sellers import is_sold_by, releases_of
from proxy.domain.access import Caller
from proxy.domain.asked import encoded_cursor
from proxy.domain.review import AskedDecisions, AskedMatches, OwnUrl, decisions_named
from proxy.errors import Conflict, NotFound
from proxy.services.needed import needs_the_database

Json = dict[str, object]

RecordRejected = Callable[[Connection, int, Mapping[str, object]], Awaitable[None]]
"""Told the release and the match, last in the transaction that rejects it."""

VERBS = {
    "approve": "approved",
    "reject": "rejected",
    "set": "set another URL for",
    "undo": "took back a decision on",
    "no_audio": "said that there is no audio, ever, for",
}
"""What somebody did, by the action's name."""

DECIDE = {Action.APPROVE: decisions.approve, Action.REJECT: decisions.reject, Action.UNDO: decisions.undo}


class ReleaseAction(StrEnum):
    """What is decided of a release as a whole."""

    APPROVE = "approve"
    REJECT = "reject"
    NO_AUDIO = "no_audio"
    UNDO_NO_AUDIO = "undo_no_audio"


DECIDE_RELEASE = {
    ReleaseAction.APPROVE: decisions.approve_release,
    ReleaseAction.REJECT: decisions.reject_release,
    ReleaseAction.NO_AUDIO: decisions.no_audio,
    ReleaseAction.UNDO_NO_AUDIO: decisions.undo_no_audio,
}
EACH_MATCH = (ReleaseAction.APPROVE, ReleaseAction.REJECT)
"""A decision each; the others are one of the release."""
REJECTING = (ReleaseAction.REJECT, ReleaseAction.NO_AUDIO)


@dataclass(frozen=True, slots=True)
class ReviewService:
    """`on_decided` is told the release once a decision is kept. Every method raises Degraded, NotFound, Conflict."""

    database: Database
    on_decided: Callable[[int], None]
    record_rejected: RecordRejected | None = None

    async def matches(self, asked: AskedMatches, caller: Caller) -> Json:
        async with self._transaction() as connection:
            among = None if caller.stores is None else await releases_of(connection, caller.stores)
            found, after = await review_view.matches(connection, asked.status, asked.limit, asked.after, among)
        return {
            "matches": [_match(each) for each in found],
            "next": None if after is None else encoded_cursor(asked.status, after),
        }

    async def decide(self, action: Action, match_id: int, by: str, caller: Caller, seen: int | None = None) -> Json:
        """`seen`: the last decision that he knew of; one made since about the same track is not overruled."""
        async with self._transaction() as connection:
            if caller.stores is not None:
                await _must_sell(connection, caller.stores, await decision_store.release_of(connection, match_id))
            decided = await DECIDE[action](connection, match_id, by)
            await _must_be_new(connection, decided, seen)
            now = await review_view.match(connection, match_id)
            if action is Action.REJECT and decided.changed and self.record_rejected:
                await self.record_rejected(connection, decided.release_id, _rejected(decided))
        return self._decided(decided, now)

    async def set_url(
        self, release_id: int, track_index: int, own: OwnUrl, caller: Caller, seen: int | None = None
    ) -> Json:
        async with self._transaction() as connection:
            await _must_sell(connection, caller.stores, release_id)
            await _must_be_known(connection, release_id)
            decided = await decisions.set_url(connection, release_id, track_index, own.sub_index, own.playable, own.by)
            await _must_be_new(connection, decided, seen)
            now = await review_view.match(connection, decided.match_id)
        return self._decided(decided, now)

    async def undo_all(self, match_ids: Sequence[int], by: str, caller: Caller, seen: int | None = None) -> Json:
        """Take the last decision of each back, or of none; all are of one release. What others decided since stays."""
        async with self._transaction() as connection:
            for match_id in match_ids:
                await _must_sell(connection, caller.stores, await decision_store.release_of(connection, match_id))
            undone = await decisions.undo_all(connection, match_ids, by)
            for each in undone:
                await _others_must_not_have_decided(connection, each, seen, by)
        for release_id in {each.release_id for each in undone if each.changed}:
            self.on_decided(release_id)
        return {"changed": any(each.changed for each in undone)}

    async def decide_release(
        self, action: ReleaseAction, release_id: int, by: str, caller: Caller, seen: int | None = None
    ) -> Json:
        async with self._transaction() as connection:
            await _must_sell(connection, caller.stores, release_id)
            await _must_be_known(connection, release_id)
            decided = await DECIDE_RELEASE[action](connection, release_id, by)
            if seen is not None and decided.changed:
                await _must_know_the_last(connection, action, decided, seen, by)
            now = [await review_view.match(connection, each.match_id) for each in decided.matches]
            if action in REJECTING and self.record_rejected:
                for each in decided.matches:
                    await self.record_rejected(connection, release_id, _rejected(each))
        if decided.changed:
            self.on_decided(release_id)
        return {"changed": decided.changed, "matches": [_match(each) for each in now if each]}

    async def history(self, asked: AskedDecisions, caller: Caller) -> Json:
        async with self._transaction() as connection:
            await _must_sell(connection, caller.stores, asked.release_id)
            found = await review_view.history(connection, asked.release_id, asked.limit, asked.before)
        ends = len(found) < asked.limit
        return {
            "release_id": asked.release_id,
            "decisions": [_past(each) for each in found],
            "next": None if ends else encoded_cursor(decisions_named(asked.release_id), [found[-1].id]),
        }

    def _decided(self, decided: Decided, now: ReviewedMatch | None) -> Json:
        if decided.changed:
            self.on_decided(decided.release_id)
        return {"changed": decided.changed, "match": now and _match(now)}

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        try:
            with needs_the_database("The database is away: nothing was decided."):
                async with self.database.transaction() as connection:
                    yield connection
        except NoSuchMatch as error:
            raise NotFound(str(error)) from error
        except Undecidable as error:
            raise Conflict(str(error)) from error


async def _must_sell(connection: Connection, stores: Collection[str] | None, release_id: int) -> None:
    """Raises NotFound where the reviewer is limited to stores that do not: he is not told more."""
    if stores is not None and not await is_sold_by(connection, stores, release_id):
        raise NotFound(f"Release {release_id} is none of the stores that you may review: {', '.join(sorted(stores))}.")


async def _must_be_known(connection: Connection, release_id: int) -> None:
    """Raises NotFound: an id that was mistyped is not to be kept as a release."""
    if not await store.is_known(connection, release_id):
        raise NotFound(
            f"Release {release_id} has never been asked for here. Ask for it once, by GET /releases/{release_id} or by "
            "opening it in the shop; then decide."
        )


async def _must_be_new(connection: Connection, decided: Decided, seen: int | None) -> None:
    """Raises Conflict, which takes the decision back, where somebody decided the track after what `seen` tells."""
    if seen is None or not decided.changed:
        return
    track = (decided.track_index, decided.sub_index)
    _must_be_latest(await review_view.decided_since(connection, decided.release_id, seen, 1, track))


async def _others_must_not_have_decided(connection: Connection, undone: Decided, seen: int | None, by: str) -> None:
    """Raises Conflict: who takes back his own decision takes back no later one of somebody else."""
    if seen is None or not undone.changed:
        return
    track = (undone.track_index, undone.sub_index)
    other = await review_view.decided_since(connection, undone.release_id, seen, 0, track, but_by=by)
    _must_be_latest(other, NOT_UNDONE)


async def _must_know_the_last(
    connection: Connection, action: ReleaseAction, decided: DecidedRelease, seen: int, by: str
) -> None:
    """Raises Conflict where somebody decided anything of the release after what `seen` tells."""
    if action is ReleaseAction.UNDO_NO_AUDIO:
        other = await review_view.decided_since(connection, decided.release_id, seen, 0, but_by=by)
        _must_be_latest(other, NOT_UNDONE)
        return
    own = max(1, len(decided.matches)) if action in EACH_MATCH else 1
    _must_be_latest(await review_view.decided_since(connection, decided.release_id, seen, own))


NOT_KEPT = "your decision was not kept"
NOT_UNDONE = "nothing was taken back"


def _must_be_latest(other: PastDecision | None, but: str = NOT_KEPT) -> None:
    """Raises Conflict."""
    if other is not None:
        what = "this release" if other.match_id is None else "this track's match"
        raise Conflict(f"{other.decided_by} {VERBS[other.action]} {what} meanwhile: {but}.")


def _match(match: ReviewedMatch) -> Json:
    runner_up = orjson.loads(match.runner_up) if match.runner_up else None
    return {**_plain(match._asdict()), "reasons": orjson.loads(match.reasons), "runner_up": runner_up}


def _past(decision: PastDecision) -> Json:
    return _plain(decision._asdict())


def _plain(fields: Json) -> Json:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def _rejected(decided: Decided) -> Json:
    return {
        "track_index": decided.track_index,
        "sub_index": decided.sub_index,
        "match_url": decided.match_url,
    }
