"""The Prometheus metrics, in a registry of their own. docs/metrics.md lists them; a test holds that list true."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from proxy import __version__
from proxy.domain.budget import Lane
from proxy.domain.loads import BOUNDS_S

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody asks for

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WAITS = (*SECONDS, 20, 40)
"""Background work waits longer than a shopper would."""
CALLS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 200)
CONFIDENCE = tuple(range(10, 101, 10))
STALENESS = (1, 5, 15, 30, 60, 90, 120, 300, 600, 1800, 3600, 7200, 10800, 18000, 21600)

LATENCY_WEIGHT = 0.05
"""Of the latest call in the measured latency of Discogs: the last twenty or so tell."""

JOB_RESULTS = ("cached", "unmatched", "failed", "retried", "parked", "lost")
CHECK_RESULTS = ("unchanged", "changed", "swept", "gone", "failed")
DELIVERIES = ("delivered", "refused", "unanswered", "gone")

OTHER = "other"
"""The label of all stores that are not tracked: a crawler of names must not make a series of each."""


def restarts_gauge(registry: CollectorRegistry) -> Gauge:
    return Gauge(
        "discogs_proxy_background_restarts", "Restarts of a background task that died.", ("task",), registry=registry
    )


@dataclass(slots=True)
class Metrics:
    """Children are made once here, so that the first of a kind is an increase too, or by a bounded set of labels.

    The label `store` names those that are tracked; what belongs to none, or to several, has none.
    """

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    request_seconds: Histogram = field(init=False)
    client_calls: Counter = field(init=False)
    staleness: Histogram = field(init=False)
    inventory_load: Histogram = field(init=False)
    inventory_direct: Histogram = field(init=False)
    store_calls: Counter = field(init=False)
    upstream_calls: Counter = field(init=False)
    upstream_seconds: Histogram = field(init=False)
    upstream_remaining: Gauge = field(init=False)
    upstream_limit: Gauge = field(init=False)
    lane_wait_seconds: Histogram = field(init=False)
    lane_refusals: Counter = field(init=False)
    jobs: Counter = field(init=False)
    job_seconds: Histogram = field(init=False)
    match_confidence: Histogram = field(init=False)
    tracks: Counter = field(init=False)
    queue: Gauge = field(init=False)
    queue_age: Gauge = field(init=False)
    queue_parked: Gauge = field(init=False)
    provider_calls: Counter = field(init=False)
    provider_quota: Gauge = field(init=False)
    provider_quota_limit: Gauge = field(init=False)
    link_checks: Counter = field(init=False)
    links_hidden: Gauge = field(init=False)
    links_overdue: Gauge = field(init=False)
    checks: Counter = field(init=False)
    check_calls: Histogram = field(init=False)
    check_age: Gauge = field(init=False)
    sweep_pages: Gauge = field(init=False)
    listing_age: Gauge = field(init=False)
    webhook_deliveries: Counter = field(init=False)
    webhook_events_dropped: Counter = field(init=False)
    webhook_backlog: Gauge = field(init=False)
    webhook_backlog_age: Gauge = field(init=False)
    degraded: Gauge = field(init=False)
    restarts: Gauge = field(init=False)
    database_connections: Gauge = field(init=False)
    database_wait: Histogram = field(init=False)
    loop_lag: Histogram = field(init=False)
    _call_seconds: float | None = None
    """A call to Discogs takes so long of late; None: none was answered yet."""
    _tracked: frozenset[str] = frozenset()
    _of_requests: dict[tuple[str, str, int | str, str], tuple[Counter, Histogram]] = field(default_factory=dict)
    _of_answers: dict[tuple[str, str], tuple[Counter, Histogram]] = field(default_factory=dict)
    """Looking a child up costs more than counting."""

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "discogs_proxy_requests", "Requests answered.", ("kind", "source", "status", "store"), registry=registry
        )
        self.request_seconds = Histogram(
            "discogs_proxy_request_seconds",
            "Time to answer a request.",
            ("kind", "source"),
            buckets=SECONDS,
            registry=registry,
        )
        self.client_calls = Counter(
            "discogs_proxy_client_calls",
            "Calls that clients would have made to Discogs without the proxy.",
            ("kind", "store"),
            registry=registry,
        )
        self.staleness = Histogram(
            "discogs_proxy_staleness_seconds",
            "Of each answer from the mirror or a copy: how long before it that was last found true.",
            ("kind", "store"),
            buckets=STALENESS,
            registry=registry,
        )
        self.inventory_load = Histogram(
            "discogs_proxy_inventory_load_seconds",
            "Time to answer for an inventory, by where the answer came from: mirror, copy, stale, upstream.",
            ("store", "source"),
            buckets=BOUNDS_S,
            registry=registry,
        )
        self.inventory_direct = Histogram(
            "discogs_proxy_inventory_direct_seconds",
            "The same answers, modelled: what a direct client would have waited, its calls one after the other, each "
            "as long as calls to Discogs take of late.",
            ("store",),
            buckets=BOUNDS_S,
            registry=registry,
        )
        self.store_calls = Counter(
            "discogs_proxy_store_upstream_calls",
            "Calls sent to Discogs for the inventory of a store.",
            ("store", "lane"),
            registry=registry,
        )
        self.upstream_calls = Counter(
            "discogs_proxy_upstream_calls",
            "Calls sent to Discogs; outcome is the class of the status, or timeout, or broken.",
            ("lane", "outcome"),
            registry=registry,
        )
        self.upstream_seconds = Histogram(
            "discogs_proxy_upstream_seconds",
            "Time of a call to Discogs.",
            ("lane",),
            buckets=SECONDS,
            registry=registry,
        )
        self.upstream_remaining = Gauge(
            "discogs_proxy_upstream_budget_remaining", "Calls left in this minute.", registry=registry
        )
        self.upstream_limit = Gauge(
            "discogs_proxy_upstream_budget_limit",
            "Calls that Discogs allows in a minute; 0: no limit.",
            registry=registry,
        )
        self.lane_wait_seconds = Histogram(
            "discogs_proxy_lane_wait_seconds",
            "Time that a call waited for budget, in vain included.",
            ("lane",),
            buckets=WAITS,
            registry=registry,
        )
        self.lane_refusals = Counter(
            "discogs_proxy_lane_refusals",
            "Calls that got no budget in their time; those of shoppers became 429.",
            ("lane",),
            registry=registry,
        )
        self.jobs = Counter("discogs_proxy_match_jobs", "Match jobs ended.", ("result",), registry=registry)
        self.job_seconds = Histogram(
            "discogs_proxy_match_job_seconds", "Time of a match job.", buckets=SECONDS, registry=registry
        )
        self.match_confidence = Histogram(
            "discogs_proxy_match_best_confidence",
            "Highest confidence (0-100) of a release.",
            buckets=CONFIDENCE,
            registry=registry,
        )
        self.tracks = Counter(
            "discogs_proxy_match_tracks",
            "Tracks of decided releases: approved or pending a match of a provider, or none.",
            ("provider", "verdict"),
            registry=registry,
        )
        self.queue = Gauge("discogs_proxy_queue_releases", "Releases by state.", ("status",), registry=registry)
        self.queue_age = Gauge(
            "discogs_proxy_queue_age_seconds",
            "Longest time that a release has been in its state; a queued one since it may be taken.",
            ("status",),
            registry=registry,
        )
        self.queue_parked = Gauge(
            "discogs_proxy_queue_parked_releases",
            "Of the queued ones, those that are not due yet: a provider or Discogs could not answer.",
            registry=registry,
        )
        self.provider_calls = Counter(
            "discogs_proxy_provider_calls",
            "What came of each audio provider for match jobs: found, nothing, throttled, broken, given_up, skipped.",
            ("provider", "outcome"),
            registry=registry,
        )
        self.provider_quota = Gauge(
            "discogs_proxy_provider_quota_remaining",
            "Calls left today, where a provider allows so many a day.",
            ("provider", "limit"),
            registry=registry,
        )
        self.provider_quota_limit = Gauge(
            "discogs_proxy_provider_quota_limit",
            "Calls that it allows a day.",
            ("provider", "limit"),
            registry=registry,
        )
        self.link_checks = Counter(
            "discogs_proxy_link_checks",
            "Looks whether links still play, by what they told, or did not: throttled, broken, unbelievable.",
            ("platform", "outcome"),
            registry=registry,
        )
        self.links_hidden = Gauge(
            "discogs_proxy_links_hidden", "Links that no longer play.", ("platform",), registry=registry
        )
        self.links_overdue = Gauge(
            "discogs_proxy_links_overdue",
            "Links that should have been looked at more than a day ago.",
            ("platform",),
            registry=registry,
        )
        self.checks = Counter(
            "discogs_proxy_checks",
            "Checks of stores ended: unchanged, changed, swept, gone, failed.",
            ("result",),
            registry=registry,
        )
        self.check_calls = Histogram(
            "discogs_proxy_check_calls",
            "Calls that a check took, sweeps left out.",
            buckets=CALLS,
            registry=registry,
        )
        self.check_age = Gauge(
            "discogs_proxy_check_age_seconds",
            "Of the mirrored stores that were asked for in the last ten minutes: the longest time since a check.",
            registry=registry,
        )
        self.sweep_pages = Gauge(
            "discogs_proxy_sweep_pages",
            "Of each tracked store whose sweep is due: pages read, left.",
            ("store", "state"),
            registry=registry,
        )
        self.listing_age = Gauge(
            "discogs_proxy_listing_age_seconds",
            "Of each tracked store: how long ago Discogs last gave its oldest listing; none is shown beyond six hours.",
            ("store",),
            registry=registry,
        )
        self.webhook_deliveries = Counter(
            "discogs_proxy_webhook_deliveries",
            "Batches of events sent: delivered, refused, unanswered, gone.",
            ("outcome",),
            registry=registry,
        )
        self.webhook_events_dropped = Counter(
            "discogs_proxy_webhook_events_dropped",
            "Events given up: undeliverable, overflow.",
            ("reason",),
            registry=registry,
        )
        self.webhook_backlog = Gauge(
            "discogs_proxy_webhook_backlog_events", "Events that are not delivered yet.", registry=registry
        )
        self.webhook_backlog_age = Gauge(
            "discogs_proxy_webhook_backlog_age_seconds", "Age of the oldest one.", registry=registry
        )
        self.degraded = Gauge(
            "discogs_proxy_degraded", "1 while something is degraded, as /readyz tells.", ("reason",), registry=registry
        )
        self.restarts = restarts_gauge(registry)
        self.database_connections = Gauge(
            "discogs_proxy_database_connections",
            "Connections to PostgreSQL: used, idle, and most that there may be.",
            ("state",),
            registry=registry,
        )
        self.database_wait = Histogram(
            "discogs_proxy_database_acquire_seconds",
            "Time that work waited for a connection to PostgreSQL, in vain included.",
            buckets=SECONDS,
            registry=registry,
        )
        self.loop_lag = Histogram(
            "discogs_proxy_event_loop_lag_seconds",
            "How much later than asked for the event loop woke a task that sleeps: everybody waits so long.",
            buckets=SECONDS,
            registry=registry,
        )
        build = Gauge("discogs_proxy_build_info", "Always 1.", ("version", "python"), registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        for lane in Lane:
            self.upstream_calls.labels(lane.value, "2xx")
            self.upstream_seconds.labels(lane.value)
            self.lane_wait_seconds.labels(lane.value)
            self.lane_refusals.labels(lane.value)
        for counter, values in (
            (self.jobs, JOB_RESULTS),
            (self.checks, CHECK_RESULTS),
            (self.webhook_deliveries, DELIVERIES),
        ):
            for value in values:
                counter.labels(value)

    def track(self, usernames: Collection[str]) -> None:
        """These stores have series of their own from now on; those of others end."""
        gone, self._tracked = self._tracked.difference(usernames), frozenset(usernames)
        for username in gone:
            for metric in self._of_stores:
                metric.remove_by_labels({"store": username})
        if gone:
            self._of_requests.clear()
            self._of_answers.clear()

    def answered(
        self, kind: str, source: str, status: int | str, seconds: float, stores: Mapping[str, int] | None = None
    ) -> None:
        """A request was answered, of `stores`."""
        labels = kind, source, status, self._label(stores)
        if labels not in self._of_requests:
            counter = self.requests.labels(kind, source, str(status), labels[3])
            self._of_requests[labels] = counter, self.request_seconds.labels(kind, source)
        counter, histogram = self._of_requests[labels]
        counter.inc()
        histogram.observe(seconds)

    def served(self, kind: str, stores: Mapping[str, int], client_calls: int, age_s: float | None) -> None:
        """It was one that Discogs would have answered; `age_s` None: Discogs has."""
        labels = kind, self._label(stores)
        if labels not in self._of_answers:
            self._of_answers[labels] = self.client_calls.labels(*labels), self.staleness.labels(*labels)
        counter, histogram = self._of_answers[labels]
        counter.inc(client_calls)
        if age_s is not None:
            histogram.observe(age_s)

    def loaded(self, stores: Mapping[str, int], source: str, client_calls: int, seconds: float) -> None:
        """The inventory of `stores` was answered in place of `client_calls` to Discogs, one after the other."""
        label = self._label(stores)
        self.inventory_load.labels(label, source).observe(seconds)
        if self._call_seconds is not None:
            self.inventory_direct.labels(label).observe(client_calls * self._call_seconds)

    def called(self, username: str | None, lane: str, outcome: str, seconds: float) -> None:
        """Discogs was asked, for the inventory of this store or for something else."""
        self.upstream_calls.labels(lane, outcome).inc()
        self.upstream_seconds.labels(lane).observe(seconds)
        if outcome == "2xx":
            before = seconds if self._call_seconds is None else self._call_seconds
            self._call_seconds = before + LATENCY_WEIGHT * (seconds - before)
        if username:
            self.store_calls.labels(self._named(username), lane).inc()

    @property
    def _of_stores(self) -> tuple[Counter | Gauge | Histogram, ...]:
        return (
            *(self.requests, self.client_calls, self.staleness, self.store_calls),
            *(self.inventory_load, self.inventory_direct, self.sweep_pages, self.listing_age),
        )

    def _label(self, stores: Mapping[str, int] | None) -> str:
        return self._named(next(iter(stores))) if stores and len(stores) == 1 else ""

    def _named(self, username: str) -> str:
        return username if username in self._tracked else OTHER
