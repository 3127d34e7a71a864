"""What people decide of matches: approve, reject, set a URL of one's own, undo, and of a whole release at once.

Each function runs in a transaction of the caller's. Of two people who decide at once the later wins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from asyncpg import Record

from matcher import store
from matcher.database import Connection
from matcher.decision_store import (
    AS_APPROVED,
    AS_OWN,
    AS_REJECTED,
    PERSON,
    HeldTrack,
    be_in_queue,
    best_pending,
    bring_back,
    bring_back_what_came_since,
    check_one_is_approved,
    check_track,
    give_way,
    ids_of,
    insert_own,
    is_on_another_track,
    is_spelt,
    is_without_audio,
    last_decision,
    last_no_audio,
    lock_release,
    lock_release_alone,
    lock_track,
    lock_track_of,
    look_anew,
    no_such,
    persist_for_facts,
    place_of,
    queue_again,
    record,
    record_of_release,
    release_of,
    rest_for_ever,
    rest_no_more,
    restore,
    settle,
    standing_matches,
    track_of,
    undecided,
    verify,
)
from matcher.errors import Undecidable
from matcher.models import Action
from matcher.queue_store import Priority, match_again


@dataclass(frozen=True, slots=True)
class Decided:
    """Which match a decision is about. `changed`: False where it had been decided just so."""

    match_id: int
    release_id: int
    track_index: int | None
    sub_index: int | None
    match_url: str | None
    changed: bool


# --- one match -----------------------------------------------------------------------------------------------------


async def approve(connection: Connection, match_id: int, by: str) -> Decided:
    """It is right: the track's one approved match, whatever was found or approved before. Raises NoSuchMatch."""
    return await _approve(connection, await lock_track_of(connection, match_id), match_id, by)


async def _approve(connection: Connection, track: HeldTrack, match_id: int, by: str) -> Decided:
    row = track.row(match_id)
    if row["is_approved_by_person"]:
        return _decided(track, row, changed=False)
    outdone = track.outdone_by(row)
    await record(connection, track, Action.APPROVE, row, by, [match_id, *ids_of(outdone)])
    await verify(connection, [match_id], by, AS_APPROVED)
    await give_way(connection, outdone, by)
    await _settle_approved(connection, track, row)
    return _decided(track, row, changed=True)


async def reject(connection: Connection, match_id: int, by: str) -> Decided:
    """It is wrong, and so is the same video written otherwise; another may be found. Raises NoSuchMatch."""
    return await _reject(connection, await lock_track_of(connection, match_id), match_id, by)


async def _reject(connection: Connection, track: HeldTrack, match_id: int, by: str) -> Decided:
    row = track.row(match_id)
    if row["is_rejected_by_person"]:
        return _decided(track, row, changed=False)
    same = [each["id"] for each in track.rows if each["id"] == match_id or (each["is_live"] and _are_same(each, row))]
    await record(connection, track, Action.REJECT, row, by, same)
    await verify(connection, same, by, AS_REJECTED)
    await settle(connection, track, row)
    await match_again(connection, track.release_id)
    return _decided(track, row, changed=True)


async def set_url(
    connection: Connection,
    release_id: int,
    track_index: int,
    sub_index: int | None,
    playable: tuple[str, str],
    by: str,
) -> Decided:
    """A person's own URL (with its platform) for a track, in the place of what it had.

    A release that is API-only is persisted for it and queued, so that its facts come. Raises NoSuchMatch where the
    tracklist is known and has no such track.
    """
    if not await store.is_persisted(connection, release_id):
        await persist_for_facts(connection, release_id, Priority.SEEN)
    track = await lock_track(connection, release_id, track_index, sub_index)
    await check_track(connection, release_id, track_index, sub_index)
    platform, url = playable
    chosen = next((row for row in track.rows if is_spelt(row, url)), None)
    if chosen and chosen["is_approved_by_person"] and chosen["provider"] == PERSON and not chosen["is_dead"]:
        return _decided(track, chosen, changed=False)
    outdone = track.others(chosen)
    row = chosen or await insert_own(connection, track, platform, url, by)
    await record(connection, track, Action.SET, row, by, ids_of([*([chosen] if chosen else []), *outdone]))
    await give_way(connection, outdone, by)
    await verify(connection, [row["id"]], by, AS_OWN)
    await look_anew(connection, row["match_url"])
    await _settle_approved(connection, track, row)
    return _decided(track, row, changed=True)


async def _settle_approved(connection: Connection, track: HeldTrack, row: Record) -> None:
    """Where another track had it, that is matched again."""
    await settle(connection, track, row)
    if await is_on_another_track(connection, track, row["match_url"]):
        await match_again(connection, track.release_id)


async def undo(connection: Connection, match_id: int, by: str) -> Decided:
    """Take the last decision of a match back: all is as it was before it. Done twice it is done once.

    Raises NoSuchMatch where the match is gone, Undecidable where nobody has decided it, or where an approval would come
    back beside a later one.
    """
    release_id = await release_of(connection, match_id)
    return await _undo(connection, match_id, by, await lock_release(connection, release_id))


async def undo_all(connection: Connection, match_ids: Sequence[int], by: str) -> list[Decided]:
    """`undo` of each, or of none; all are of one release. Raises Undecidable."""
    releases = {await release_of(connection, match_id) for match_id in match_ids}
    if len(releases) != 1:
        raise Undecidable("Only decisions about one release can be taken back together.")
    pressings = await lock_release(connection, releases.pop())
    return [await _undo(connection, match_id, by, pressings) for match_id in match_ids]


async def _undo(connection: Connection, match_id: int, by: str, pressings: Sequence[int]) -> Decided:
    """Its release and the `pressings` are locked."""
    place = await place_of(connection, match_id)
    if place is None:
        raise no_such(match_id)
    track = await track_of(connection, *place, pressings)
    last = await last_decision(connection, match_id)
    if last is None:
        track.row(match_id)
        raise Undecidable(f"Nobody has decided match {match_id}: there is nothing to undo.")
    if last["action"] == Action.UNDO:
        return Decided(match_id, *place, last["match_url"], changed=False)
    row = track.row(match_id)
    await record(connection, track, Action.UNDO, row, by, [])
    await restore(connection, track, last["id"], match_id)
    await check_one_is_approved(connection, track, last["id"])
    await settle(connection, track, row)
    return _decided(track, row, changed=True)


def _decided(track: HeldTrack, row: Record, *, changed: bool) -> Decided:
    return Decided(row["id"], track.release_id, track.track_index, track.sub_index, row["match_url"], changed)


def _are_same(row: Record, other: Record) -> bool:
    return other["match_url"] is not None and is_spelt(row, other["match_url"])


# --- a whole release ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecidedRelease:
    """`matches` are those that the decision changed. `changed`: False where all had been decided just so."""

    release_id: int
    changed: bool
    matches: Sequence[Decided]


async def approve_release(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """Of each track that has none approved the best match that is pending. Raises Undecidable."""
    pressings = await lock_release(connection, release_id)
    rows = await best_pending(connection, release_id)
    return await _decide_each(connection, _approve, release_id, pressings, rows, by)


async def reject_release(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """All its matches that no person has approved. Raises Undecidable."""
    pressings = await lock_release(connection, release_id)
    rows = await undecided(connection, release_id)
    return await _decide_each(connection, _reject, release_id, pressings, rows, by)


async def _decide_each(
    connection: Connection,
    decide: Callable[[Connection, HeldTrack, int, str], Awaitable[Decided]],
    release_id: int,
    pressings: Sequence[int],
    rows: Sequence[Record],
    by: str,
) -> DecidedRelease:
    """Under the locks that are held: those of further pressings would be taken out of order, and be too many."""
    found = []
    for row in rows:
        track = await track_of(connection, release_id, row["track_index"], row["sub_index"], pressings)
        found.append(await decide(connection, track, row["id"], by))
    changed = [each for each in found if each.changed]
    return DecidedRelease(release_id, bool(changed), changed)


async def no_audio(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """There is none for it, ever: all its matches are rejected, and it is not queued again until that is undone."""
    await be_in_queue(connection, release_id)
    await lock_release_alone(connection, release_id)
    if await is_without_audio(connection, release_id):
        return DecidedRelease(release_id, False, [])
    rows = await standing_matches(connection, release_id)
    await record_of_release(connection, release_id, Action.NO_AUDIO, by, ids_of(rows))
    await verify(connection, ids_of(rows), by, AS_REJECTED)
    if rows:
        await store.persist_bare(connection, release_id)
    await rest_for_ever(connection, release_id)
    matches = [
        Decided(row["id"], release_id, row["track_index"], row["sub_index"], row["match_url"], True) for row in rows
    ]
    return DecidedRelease(release_id, True, matches)


async def undo_no_audio(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """All is as it was before, and it is looked for again."""
    await lock_release_alone(connection, release_id)
    if not await is_without_audio(connection, release_id):
        return DecidedRelease(release_id, False, [])
    said = await last_no_audio(connection, release_id)
    await record_of_release(connection, release_id, Action.UNDO, by, [])
    await bring_back(connection, said, release_id)
    await bring_back_what_came_since(connection, release_id)
    await store.refresh_has_audio(connection, release_id)
    await rest_no_more(connection, release_id)
    await queue_again(connection, [release_id])
    return DecidedRelease(release_id, True, [])
