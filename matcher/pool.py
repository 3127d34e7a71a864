"""The task pool that drains the match queue: claim, fetch, match, judge, store; one release per task."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from matcher import hidden_store, queue_store, store
from matcher.database import Connection, Database
from matcher.domain.answers import packed, unpacked
from matcher.domain.metadata import fingerprint, metadata, storable
from matcher.domain.retry import Fail, Park, Retry, aftermath, pause_for_providers
from matcher.domain.tracklist import parse_release
from matcher.domain.verdict import Forget, Persist, Thresholds, Verdict, judge
from matcher.errors import DatabaseUnavailable, LeaseLost, MalformedRelease, MatcherError, Unavailable
from matcher.gathering import Gathered, Provider, Providers, Told
from matcher.json_text import parse_json
from matcher.models import ProcessingStatus

JOB_DEADLINE_S = queue_store.LEASE_S * 2 / 3
"""A job that takes longer is ended while its lease still holds."""

JUDGING_S = 10.0
"""Of that, what is kept for matching and storing: no provider is asked later."""

IDLE_POLL_S = 2.0
"""How often an idle pool looks for work that another process queued, or that was parked."""

DATABASE_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class FetchedRelease:
    """The public answer of GET /releases/{id} and when upstream gave it."""

    body: bytes
    fetched_at: datetime


FetchRelease = Callable[[int], Awaitable[FetchedRelease]]
"""Raises ReleaseGone, or Unavailable when upstream cannot answer now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job ended, for logs and metrics. `result`: cached, unmatched, failed, retried, parked or lost."""

    release_id: int
    result: str
    seconds: float
    attempts: int
    matches: int = 0
    approved: int = 0
    best: float = 0.0
    error: str | None = None
    request_id: str = ""
    """Of what queued it, in the log; its own where nothing did."""
    providers: tuple[tuple[str, Told], ...] = ()
    """What came of those that were asked, or skipped, by name; one that was given up comes a second time."""
    tracks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many of a decided release have a match, by the provider who gave it and whether it is `approved` or
    `pending`; or have `none`, of no provider."""


class OutOfTime(Exception):
    """A drain ended before the job had its release, or much of the time: it is as if it had not been claimed."""


@dataclass(slots=True)
class DrainReport:
    """The jobs that one call of `drain` ended."""

    processed: int = 0
    cached: int = 0
    unmatched: int = 0
    failed: int = 0
    parked: int = 0

    def add(self, outcome: Outcome) -> None:
        self.processed += 1
        bucket = {"cached": "cached", "unmatched": "unmatched", "failed": "failed"}.get(outcome.result, "parked")
        setattr(self, bucket, getattr(self, bucket) + 1)


@dataclass(slots=True)
class Matcher:
    """Runs match jobs.

    `on_outcome` is told how each one ended, `on_stored` of each release whose matches are stored, in that transaction.
    """

    database: Database
    fetch_release: FetchRelease
    providers: Sequence[Provider]
    thresholds: Thresholds
    batch_size: int
    on_outcome: Callable[[Outcome], None] = lambda _: None
    on_stored: Callable[[Connection, int], Awaitable[None]] | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: Providers = field(init=False)

    def __post_init__(self) -> None:
        self._asked = Providers(self.providers, self.thresholds, hidden=hidden_in(self.database))

    def wake(self) -> None:
        """There is new work: an idle pool looks at once."""
        self._woken.set()

    async def run(self) -> None:
        """Drain the queue, `batch_size` releases at a time, until cancelled; running jobs are then handed back."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.batch_size):
                group.create_task(self._work_for_ever())

    async def drain(self, limit: int, seconds: float) -> DrainReport:
        """Process up to `limit` jobs within `seconds`, `batch_size` at once. Raises DatabaseUnavailable.

        A job that it cannot end is handed back; or parked, where it has had most of the time: others come first then.
        """
        report = DrainReport()
        until = time.monotonic() + seconds
        left = limit
        away: DatabaseUnavailable | None = None

        async def work() -> None:
            nonlocal left, away
            while left > 0 and away is None and (left_s := until - time.monotonic()) > 0:
                left -= 1
                try:
                    outcome = await self._process_next(min(JOB_DEADLINE_S, left_s), is_late=left_s < seconds / 2)
                except DatabaseUnavailable as error:  # a group of them says no more than one
                    away = error
                    return
                if outcome is None:
                    return
                report.add(outcome)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, self.batch_size)):
                group.create_task(work())
        if away is not None:
            raise away
        return report

    async def _work_for_ever(self) -> None:
        while True:
            try:
                outcome = await self._process_next(JOB_DEADLINE_S)
            except DatabaseUnavailable:
                await asyncio.sleep(DATABASE_RETRY_S)
                continue
            if outcome is None:
                await self._rest()

    async def _rest(self) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_POLL_S):
                await self._woken.wait()

    async def _process_next(self, deadline_s: float, *, is_late: bool = False) -> Outcome | None:
        """None: there is nothing to do, or no time left for it."""
        async with self.database.transaction() as connection:
            jobs = await queue_store.claim(connection, 1)
        if not jobs:
            return None
        try:
            outcome = await self._process(jobs[0], deadline_s, is_late=is_late)
        except OutOfTime:
            await self._hand_back(jobs[0])
            return None
        self.on_outcome(outcome)
        return outcome

    async def _process(self, job: queue_store.Job, deadline_s: float, *, is_late: bool) -> Outcome:
        """What is logged meanwhile, calls of providers for one, bears the id of what queued the job."""
        request_id = job.request_id or f"match-{job.release_id}"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            return replace(await self._run_job(job, deadline_s, is_late=is_late), request_id=request_id)

    async def _run_job(self, job: queue_store.Job, deadline_s: float, *, is_late: bool) -> Outcome:
        """Raises OutOfTime."""
        started = time.monotonic()
        told: list[tuple[str, Told]] = []
        try:
            try:
                found = await self._match_within(
                    job, deadline_s, lambda provider, what: told.append((provider, what)), is_late=is_late
                )
                ended = await self._store(job, found)
            except (LeaseLost, DatabaseUnavailable, OutOfTime):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a release does to us must not stop the pool
                ended = await self._after(job, error)
        except asyncio.CancelledError:
            await asyncio.shield(self._hand_back(job))
            raise
        except (LeaseLost, DatabaseUnavailable) as error:
            if isinstance(error, DatabaseUnavailable):  # nothing was done: the attempt is given back, if it can be
                await self._hand_back(job)
            ended = _Ended("lost", error=str(error))
        return Outcome(
            release_id=job.release_id,
            attempts=job.attempts,
            seconds=time.monotonic() - started,
            result=ended.result,
            matches=ended.matches,
            approved=ended.approved,
            best=ended.best,
            error=ended.error,
            providers=(*told, *((provider, Told.GIVEN_UP) for provider in ended.given_up)),
            tracks=ended.tracks,
        )

    async def _match_within(
        self, job: queue_store.Job, deadline_s: float, tell: Callable[[str, Told], None], *, is_late: bool
    ) -> _Found:
        until, fetched = time.monotonic() + JOB_DEADLINE_S - JUDGING_S, None
        try:
            async with asyncio.timeout(deadline_s):
                fetched = await self.fetch_release(job.release_id)
                return await self._match(job, fetched, until, tell)
        except TimeoutError:
            if deadline_s == JOB_DEADLINE_S:
                raise
            if is_late or fetched is None:
                raise OutOfTime from None
            raise Unavailable("the time given for draining was over", 0) from None

    async def _match(
        self, job: queue_store.Job, fetched: FetchedRelease, until: float, tell: Callable[[str, Told], None]
    ) -> _Found:
        body = parse_body(fetched.body)
        release = parse_release(body)
        if release.release_id != job.release_id:
            raise MalformedRelease(f"the body is that of release {release.release_id}")
        mark = fingerprint(body)
        async with self.database.connection() as connection:
            said = await store.said(connection, job.release_id)
        gathered = await self._asked.gather(
            release,
            body,
            in_demand=job.priority <= queue_store.Priority.SEEN,
            said=said,
            known=unpacked(job.answers, mark),
            until=until,
            tell=tell,
        )
        return _Found(fetched, body, mark, gathered, len(release.tracks))

    async def _store(self, job: queue_store.Job, found: _Found) -> _Ended:
        """All that is known is stored at once; the job is over unless providers are to be asked again.

        A job that was parked and has learnt nothing since has its matches stored already.
        """
        gathered = found.gathered
        pause_s = pause_for_providers(
            [each.retry_after_s for each in gathered.missing if each.is_awaited], job.waited_s
        )
        why = "; ".join(describe(each.error) for each in gathered.missing) or None
        async with self.database.transaction() as connection:
            keep = job.persist_always or await store.is_persisted(connection, job.release_id)
            verdict = judge(gathered.matches, self.thresholds, persist_always=keep)
            if pause_s is not None:
                answers = packed(found.mark, gathered.answers)
                await queue_store.park_for_providers(connection, job, pause_s, why or "", answers)
            else:
                status = ProcessingStatus.MATCHED if isinstance(verdict, Persist) else ProcessingStatus.UNMATCHED
                await queue_store.decide(connection, job, status, found.mark, gathered.silent)
            if isinstance(verdict, Persist) and (gathered.learnt or job.waited_s == 0):
                stored = store.StoredBody(found.fetched.body, found.fetched.fetched_at)
                await store.persist(
                    connection, job, metadata(found.body), stored, verdict.matches, silent=gathered.silent
                )
                if self.on_stored:
                    await self.on_stored(connection, job.release_id)
        ended = replace(_ended(verdict), error=why)
        if pause_s is not None:
            return replace(ended, result="parked")
        given_up = tuple(each.provider for each in gathered.missing)
        return replace(ended, given_up=given_up, tracks=tally(verdict, found.tracks))

    async def _after(self, job: queue_store.Job, error: Exception) -> _Ended:
        what = describe(error)
        next_step = aftermath(error, job.attempts)
        async with self.database.transaction() as connection:
            match next_step:
                case Retry(after_s):
                    await queue_store.retry(connection, job, after_s, what)
                    return _Ended("retried", error=what)
                case Park(after_s):
                    await queue_store.park(connection, job, after_s, what)
                    return _Ended("parked", error=what)
                case Fail():
                    await queue_store.fail(connection, job, what)
                    if job.persist_always:  # its matches are kept, with a row that holds them
                        await store.persist_bare(connection, job.release_id)
                    return _Ended("failed", error=what)

    async def _hand_back(self, job: queue_store.Job) -> None:
        # Whatever is lost here is found again when the lease runs out.
        with contextlib.suppress(LeaseLost, DatabaseUnavailable):
            async with self.database.transaction() as connection:
                await queue_store.hand_back(connection, job)


def hidden_in(database: Database) -> Callable[[Collection[str]], Awaitable[frozenset[str]]]:
    """What Providers asks."""

    async def hidden(urls: Collection[str]) -> frozenset[str]:
        async with database.connection() as connection:
            return await hidden_store.hidden_links(connection, urls)

    return hidden


@dataclass(frozen=True, slots=True)
class _Found:
    fetched: FetchedRelease
    body: Mapping[str, object]
    mark: str
    """The fingerprint of the body."""
    gathered: Gathered
    tracks: int


@dataclass(frozen=True, slots=True)
class _Ended:
    result: str
    matches: int = 0
    approved: int = 0
    best: float = 0.0
    error: str | None = None
    given_up: tuple[str, ...] = ()
    tracks: Mapping[tuple[str, str], int] = field(default_factory=dict)


def _ended(verdict: Persist | Forget) -> _Ended:
    if isinstance(verdict, Forget):
        return _Ended("unmatched", best=verdict.best)
    return _Ended(
        "cached",
        matches=len(verdict.matches),
        approved=sum(judged.approved for judged in verdict.matches),
        best=max((judged.match.score.confidence for judged in verdict.matches), default=0.0),
    )


def tally(verdict: Verdict, tracks: int) -> Mapping[tuple[str, str], int]:
    """Of a release's tracks by provider and what became of them. What is forgotten counts as none."""
    judged = verdict.matches if isinstance(verdict, Persist) else ()
    found = Counter((each.match.candidate.provider, "approved" if each.approved else "pending") for each in judged)
    found["", "none"] = max(0, tracks - len(judged))
    return found


def parse_body(body: bytes) -> Mapping[str, object]:
    """Raises MalformedRelease when it is not a JSON object."""
    try:
        parsed = parse_json(body)
    except ValueError as error:
        raise MalformedRelease(f"the release is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise MalformedRelease("the release is not a JSON object")
    return parsed


def describe(error: Exception) -> str:
    """A text for `last_error`: our own errors speak for themselves, others are named."""
    if isinstance(error, TimeoutError):
        return "the job took too long"
    what = str(error) if isinstance(error, MatcherError) else f"{type(error).__name__}: {error}"
    return str(storable(what[:500]))
