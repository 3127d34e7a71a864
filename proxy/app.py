"""Puts the application together: the parts, their life cycle, the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import quote

import aiohttp
import structlog
from aiohttp import hdrs, web

from matcher.database import Database
from matcher.domain.verdict import Thresholds
from matcher.errors import DatabaseUnavailable
from matcher.link_checks import Checked, LinkChecks
from matcher.migration import migrate
from matcher.models import Action
from matcher.pool import Matcher, Outcome
from proxy import __version__, keys
from proxy.adapters.budget_log import BudgetLog
from proxy.adapters.changes import Changes
from proxy.adapters.event_loop import measure_lag
from proxy.adapters.lanes import Lanes
from proxy.adapters.metrics import Metrics
from proxy.adapters.responses import ResponseStore
from proxy.adapters.siblings import Siblings
from proxy.adapters.upstream import Call, Upstream, sent_once
from proxy.adapters.variants import Variants
from proxy.adapters.webhook import Receiver
from proxy.audio_providers import opened_link_checkers, opened_providers, provider_secrets
from proxy.background import Health, running
from proxy.domain.budget import Budget, Lane
from proxy.domain.lifetimes import LIFETIMES
from proxy.domain.resources import Kind, resource_of
from proxy.domain.schedule import Pace
from proxy.domain.visibility import OperatorCredential
from proxy.domain.webhook import signing_key
from proxy.errors import MethodNotAllowed, NotFound
from proxy.handlers import admin, admin_matches, admin_queue, admin_stores, discogs, openapi, operations, stores
from proxy.handlers.middleware import MIDDLEWARES, on_prepare, operators_only
from proxy.handlers.page_routes import PAGES
from proxy.handlers.pages import error_pages
from proxy.services.access import AccessService, credentials_of
from proxy.services.checks import CheckService
from proxy.services.copies import Copies
from proxy.services.demand import Demand
from proxy.services.doubt import DoubtService
from proxy.services.failing_providers import FailingProviders
from proxy.services.finished import FinishedAnswers
from proxy.services.identity import IdentityService
from proxy.services.inventory import InventoryService
from proxy.services.mirror import MirrorService
from proxy.services.numbers import Numbers
from proxy.services.orders import Orders
from proxy.services.passthrough import PassthroughService
from proxy.services.persisted import PersistedCounts
from proxy.services.purge import PurgeService
from proxy.services.queue import QueueService
from proxy.services.release import ReleaseService
from proxy.services.review import ReleaseAction, ReviewService
from proxy.services.review_pages import ReviewPages
from proxy.services.scheduler import Scheduler
from proxy.services.shared_cache import SharedCache
from proxy.services.store_admin import StoreAdmin
from proxy.services.stores import StoreService
from proxy.services.webhooks import NAME as WEBHOOKS
from proxy.services.webhooks import (
    WebhookService,
    record_listings,
    record_match_rejected,
    record_nothing,
    record_release_matched,
)
from proxy.settings import OFFICIAL_API_URL, Settings

DEFAULT_BUDGET_GROUP = "default"
"""Of processes on one database that say nothing of their address."""

KEEP_IDLE_S = 15.0
KEEP_IDLE_ELSEWHERE_S = 4.0
"""How long an idle connection is kept. Node, Apache and uvicorn close it after 5 s; a write that meets that fails."""

MIGRATION_POLL_S = 30.0
"""How often it is looked whether the last release of the old system's matches has been stored."""

log = structlog.get_logger()


def make_app(
    settings: Settings,
    database: Database,
    admin_token: str,
    health: Health | None = None,
    *,
    siblings: Siblings | None = None,
) -> web.Application:
    """The whole proxy, but for what belongs to the process: the database, the port, signals."""
    app = web.Application(middlewares=(*MIDDLEWARES, error_pages, operators_only))
    app[keys.SETTINGS] = settings
    app[keys.DATABASE] = database
    app[keys.ACCESS] = AccessService(credentials_of(settings, admin_token), database)
    app[keys.METRICS] = Metrics()
    database.on_acquired = app[keys.METRICS].database_wait.observe
    app[keys.HEALTH] = health or Health()
    if siblings:
        app[keys.SIBLINGS] = siblings
    app[keys.FAILING_PROVIDERS] = FailingProviders()
    app.on_response_prepare.append(on_prepare)
    app.cleanup_ctx.extend([upstream, services, webhooks, background])
    app.add_routes(ROUTES)
    return app


async def unknown_own_path(request: web.Request) -> web.StreamResponse:
    """What begins like one of our own paths is never passed on to Discogs. Raises NotFound, MethodNotAllowed."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        allowed |= (await resource.resolve(request))[1]
    if named := allowed - {hdrs.METH_ANY}:
        raise MethodNotAllowed(f"{request.path} does not know {request.method}.", named)
    raise NotFound(f"There is no {request.method} {request.path} here.")


REVIEWED = (Action.APPROVE, Action.REJECT, Action.UNDO)

ROUTES = [
    web.get("/healthz", operations.healthz),
    web.get("/readyz", operations.readyz),
    web.get("/metrics", operations.metrics),
    web.get("/api/stores/{store}/inventory", stores.inventory),
    web.get("/api/feed", stores.feed),
    web.get("/api/openapi.json", openapi.openapi),
    web.post("/api/admin/process-queue", admin.process_queue),
    web.post("/api/admin/purge", admin.purge),
    web.get("/api/admin/metrics", admin.metrics),
    web.get("/api/admin/stores", admin_stores.listed),
    web.put("/api/admin/stores/{store}", admin_stores.add),
    web.delete("/api/admin/stores/{store}", admin_stores.remove),
    web.post("/api/admin/stores/{store}/sync", admin_stores.sync),
    web.post("/api/admin/stores/{store}/pause", admin_stores.pause),
    web.post("/api/admin/stores/{store}/resume", admin_stores.resume),
    web.post("/api/admin/stores/{store}/listings/{listing}/hide", admin_stores.hide),
    web.get("/api/admin/matches", admin_matches.listed),
    *(web.post(f"/api/admin/matches/{{match}}/{action}", admin_matches.decides(action)) for action in REVIEWED),
    web.put("/api/admin/releases/{release}/tracks/{track}/match", admin_matches.set_url),
    web.get("/api/admin/releases/{release}/decisions", admin_matches.history),
    web.post("/api/admin/releases/{release}/approve", admin_matches.decides_release(ReleaseAction.APPROVE)),
    web.post("/api/admin/releases/{release}/reject", admin_matches.decides_release(ReleaseAction.REJECT)),
    web.post("/api/admin/releases/{release}/no-audio", admin_matches.decides_release(ReleaseAction.NO_AUDIO)),
    web.delete("/api/admin/releases/{release}/no-audio", admin_matches.decides_release(ReleaseAction.UNDO_NO_AUDIO)),
    web.get("/api/admin/queue", admin_queue.listed),
    web.post("/api/admin/queue/{release}/requeue", admin_queue.requeue),
    web.post("/api/admin/migrate-inventory-system", admin.migrate_inventory_system),
    *(web.route("*", path, unknown_own_path) for path in ("/healthz", "/readyz", "/metrics")),
    web.route("*", "/api", unknown_own_path),
    web.route("*", "/api/{rest:.*}", unknown_own_path),
    *PAGES,
    web.route("*", "/admin", unknown_own_path),
    web.route("*", "/admin/{rest:.*}", unknown_own_path),
    web.route("*", "/{path:.*}", discogs.discogs),
]


# --- life cycle ---------------------------------------------------------------------------------------------------


async def upstream(app: web.Application) -> AsyncIterator[None]:
    settings, metrics = app[keys.SETTINGS], app[keys.METRICS]

    def on_call(call: Call, ended: int | str, seconds: float) -> None:
        outcome = f"{ended // 100}xx" if isinstance(ended, int) else ended
        store = resource_of(call.target.partition("?")[0]).store
        metrics.called(store, call.lane.value, outcome, seconds)
        app[keys.DEMAND].called(store)
        if call.lane in (Lane.CHECK, Lane.SWEEP):
            app[keys.SCHEDULER].page_read()

    lanes = Lanes(
        Budget.starting(settings.discogs_rate_limit),
        BudgetLog(app[keys.DATABASE], settings.budget_group or DEFAULT_BUDGET_GROUP),
        on_waited=lambda lane, seconds: metrics.lane_wait_seconds.labels(lane.value).observe(seconds),
        on_refused=lambda lane: metrics.lane_refusals.labels(lane.value).inc(),
    )
    keep_s = KEEP_IDLE_S if settings.discogs_api_url == OFFICIAL_API_URL else KEEP_IDLE_ELSEWHERE_S
    connector = aiohttp.TCPConnector(limit=100, keepalive_timeout=keep_s)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, middlewares=(sent_once,)
    ) as session:
        app[keys.UPSTREAM] = Upstream(
            session=session,
            origin=settings.discogs_api_url,
            user_agent=settings.discogs_user_agent,
            lanes=lanes,
            deadline_s=settings.upstream_deadline_ms / 1000,
            operator=operator_credential(settings),
            on_call=on_call,
        )
        yield
    await lanes.stop()


def operator_credential(settings: Settings) -> OperatorCredential | None:
    """Key and secret are the better choice where both are set: they carry no user's identity."""
    token, public_view = settings.discogs_token, settings.own_front_end_view == "public"
    foreign_shared = settings.foreign_inventory == "shared"
    if settings.discogs_consumer_key:
        header = f"Discogs key={settings.discogs_consumer_key}, secret={settings.discogs_consumer_secret}"
        return OperatorCredential(header, False, token, public_view, foreign_shared)
    if token:
        return OperatorCredential(f"Discogs token={token}", True, token, public_view, foreign_shared)
    return None


async def services(app: web.Application) -> AsyncIterator[None]:
    settings, database, discogs_api = app[keys.SETTINGS], app[keys.DATABASE], app[keys.UPSTREAM]

    def wake() -> None:
        app[keys.MATCHER].wake()

    responses = ResponseStore(settings.data_dir)
    copies = Copies(responses, discogs_api, discogs_api.origin, lifetimes(settings), settings.content_max_age_ms / 1000)
    orders = app[keys.ORDERS] = Orders()
    counts = PersistedCounts(database, lambda: changes.are_heard)
    finished = FinishedAnswers(lambda: changes.are_heard, lambda: copies.now())

    def store_changed(username: str) -> None:
        orders.drop(username)
        finished.drop_path(f"/users/{quote(username, safe='')}/inventory")

    def release_changed(release_id: int) -> None:
        counts.changed()
        finished.drop_release(release_id)

    def anything_changed() -> None:
        counts.changed()
        orders.drop_all()
        finished.drop_all()

    changes = Changes(
        database,
        release_changed,
        lambda what: app[keys.PURGE].dropped_elsewhere(what),
        anything_changed,
        store_changed,
    )
    app[keys.FINISHED], app[keys.CHANGES] = finished, changes
    app[keys.PURGE] = PurgeService(database, responses, finished, changes)
    releases = ReleaseService(
        database,
        discogs_api,
        copies,
        fresh_for_s=settings.release_max_age_ms / 1000,
        content_max_age_s=settings.content_max_age_ms / 1000,
        on_enqueued=wake,
    )
    demand = app[keys.DEMAND] = Demand(database)
    named = list(dict.fromkeys(each.username.lower() for each in settings.stores))
    checks = app[keys.CHECKS] = CheckService(
        database,
        discogs_api,
        wake,
        lambda username, check: app[keys.SCHEDULER].ended(username, check),
        named,
        record=record_listings if settings.webhook_url else record_nothing,
        content_max_age_s=settings.content_max_age_ms / 1000,
        interval_s=settings.new_listing_check_interval_ms / 1000,
        may_check=lambda username: app[keys.SCHEDULER].may_check(username),
    )
    app[keys.SCHEDULER] = Scheduler(database, checks, demand, discogs_api, app[keys.METRICS], pace(settings), named)
    app[keys.RELEASES] = releases
    identities = app[keys.IDENTITIES] = IdentityService(discogs_api)
    doubt = app[keys.DOUBT] = DoubtService(database, checks, app[keys.SCHEDULER].is_tracked, identities, checks.record)
    app[keys.STORE_ADMIN] = StoreAdmin(
        database, checks, app[keys.SCHEDULER], doubt, wait_s=settings.upstream_deadline_ms / 1000
    )
    mirror = app[keys.MIRROR] = MirrorService(
        database,
        orders,
        checks,
        app[keys.SCHEDULER].is_tracked,
        content_max_age_s=settings.content_max_age_ms / 1000,
        deadline_s=settings.upstream_deadline_ms / 1000,
        now=lambda: copies.now(),
    )
    app[keys.INVENTORY] = InventoryService(database, discogs_api, copies, mirror, wake, demand.forwarded)
    # Only what Discogs itself gives falls under its terms; another upstream says by itself how long a copy is good.
    is_discogs = settings.discogs_api_url == OFFICIAL_API_URL
    shared = SharedCache(
        Variants(responses), discogs_api, settings.content_max_age_ms / 1000 if is_discogs else float("inf")
    )
    app[keys.PASSTHROUGH] = PassthroughService(discogs_api, copies, app[keys.PURGE], shared, doubt)
    app[keys.STORES] = StoreService(
        database,
        checks,
        orders,
        counts,
        app[keys.SCHEDULER].is_tracked,
        settings.discogs_api_url,
        audited_each_s=settings.inventory_sync_interval_ms / 1000,
        content_max_age_s=settings.content_max_age_ms / 1000,
        deadline_s=settings.upstream_deadline_ms / 1000,
    )
    secrets = app[keys.PROVIDER_SECRETS] = provider_secrets(settings)
    async with (
        opened_providers(settings, database, secrets) as providers,
        opened_link_checkers(settings, database, secrets) as checkers,
    ):
        app[keys.LINKS] = LinkChecks(database, checkers, lambda checked: links_checked(app, checked))
        app[keys.MATCHER] = Matcher(
            database,
            releases.fetch_for_matching,
            providers,
            Thresholds(settings.cache_persistence_threshold, settings.approval_threshold),
            settings.audio_matching_batch_size,
            on_outcome=lambda outcome: job_ended(app, outcome),
            on_stored=record_release_matched if settings.webhook_url else None,
        )

        def decided(release_id: int) -> None:
            release_changed(release_id)  # who decides sees it at once; other processes are told by the database
            wake()

        app[keys.REVIEW] = ReviewService(database, decided, record_match_rejected if settings.webhook_url else None)
        app[keys.QUEUE] = QueueService(database, wake)
        app[keys.NUMBERS] = Numbers(database, demand, discogs_api)
        app[keys.REVIEW_PAGES] = ReviewPages(
            database,
            releases.fetch_for_matching,
            content_max_age_s=settings.content_max_age_ms / 1000,
            approval=settings.approval_threshold,
        )
        yield
    await app[keys.INVENTORY].stop()
    await counts.stop()
    await doubt.stop()
    await checks.stop()
    await releases.stop()
    await identities.stop()
    await copies.stop()
    await app[keys.PURGE].stop()
    await shared.stop()
    await responses.close()
    await demand.stop()


def lifetimes(settings: Settings) -> dict[Kind, float]:
    """Seconds that answers of each kind are fresh."""
    return {
        **LIFETIMES,
        Kind.RELEASE: settings.release_max_age_ms / 1000,
        Kind.INVENTORY: settings.new_listing_check_interval_ms / 1000,
    }


def pace(settings: Settings) -> Pace:
    return Pace(
        check_s=settings.new_listing_check_interval_ms / 1000,
        audit_s=settings.inventory_sync_interval_ms / 1000,
        content_max_age_s=settings.content_max_age_ms / 1000,
        tracked_max=settings.tracked_stores_max,
    )


def job_ended(app: web.Application, outcome: Outcome) -> None:
    """The canonical log line of a match job, and its metrics."""
    app[keys.FINISHED].drop_release(outcome.release_id)  # who asked for the job sees its outcome at once
    metrics = app[keys.METRICS]
    metrics.jobs.labels(outcome.result).inc()
    metrics.job_seconds.observe(outcome.seconds)
    app[keys.FAILING_PROVIDERS].told(outcome.providers)
    for provider, told in outcome.providers:
        metrics.provider_calls.labels(provider, told.value).inc()
    if outcome.result in ("cached", "unmatched"):
        app[keys.SCHEDULER].decided()
        app[keys.DEMAND].decided(matched=outcome.result == "cached")
        metrics.match_confidence.observe(outcome.best)
        for of_provider, count in outcome.tracks.items():
            metrics.tracks.labels(*of_provider).inc(count)
    log.info(
        "match job",
        request_id=outcome.request_id,
        release_id=outcome.release_id,
        result=outcome.result,
        attempt=outcome.attempts,
        matches=outcome.matches,
        approved=outcome.approved,
        best_confidence=round(outcome.best, 1),
        providers={provider: told.value for provider, told in outcome.providers},
        error=outcome.error,
        ms=round(outcome.seconds * 1000, 1),
    )


def links_checked(app: web.Application, checked: Checked) -> None:
    """The canonical log line of a batch of links, and its metrics."""
    for outcome, count in checked.outcomes.items():
        app[keys.METRICS].link_checks.labels(checked.platform, outcome).inc(count)
    log.info(
        "links checked",
        checker=checked.checker,
        outcomes=dict(checked.outcomes),
        hidden=checked.hidden,
        shown_again=checked.shown,
        rest_s=round(checked.rest_s, 1),
        error=checked.error,
        ms=round(checked.seconds * 1000, 1),
    )


async def webhooks(app: web.Application) -> AsyncIterator[None]:
    """What delivers events, where somebody wants them."""
    settings = app[keys.SETTINGS]
    if not (settings.webhook_url and settings.webhook_secret):
        yield
        return
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        app[keys.WEBHOOKS] = WebhookService(
            app[keys.DATABASE],
            Receiver(session, settings.webhook_url, f"discogs-proxy/{__version__}"),
            signing_key(settings.webhook_secret),
            app[keys.METRICS],
            app[keys.HEALTH],
        )
        yield


async def background(app: web.Application) -> AsyncIterator[None]:
    """What runs beside the requests, by name; of several processes behind a port the first one matches for all."""
    is_first = keys.SIBLINGS not in app or app[keys.SIBLINGS].own == 1
    tasks: dict[str, Callable[[], Awaitable[None]]] = {
        "changes": app[keys.CHANGES].run,
        "demand": app[keys.DEMAND].run,
        "event loop": lambda: measure_lag(app[keys.METRICS].loop_lag.observe),
    }
    if is_first:
        tasks["migration"] = lambda: migration(app)
    if app[keys.SETTINGS].background_processing_enabled:
        if is_first:
            tasks["matcher"] = app[keys.MATCHER].run
            tasks["links"] = app[keys.LINKS].run
        tasks["scheduler"] = app[keys.SCHEDULER].run
    if keys.WEBHOOKS in app:
        tasks[WEBHOOKS] = app[keys.WEBHOOKS].run
    async with AsyncExitStack() as stack:
        for name, work in tasks.items():
            await stack.enter_async_context(running(name, work, app[keys.HEALTH]))
        yield


async def migration(app: web.Application) -> None:
    """Runs until every match of the old system has its release; on a new database that is at once."""
    while True:
        try:
            report = await migrate(app[keys.DATABASE])
        except DatabaseUnavailable as error:
            log.warning("migration waits for the database", error=str(error))
        else:
            log.info("migration", **report.as_json())
            if report.newly_queued:
                app[keys.MATCHER].wake()
            if report.done:
                return
        await asyncio.sleep(MIGRATION_POLL_S)
