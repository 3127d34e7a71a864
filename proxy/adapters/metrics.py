"""The Prometheus metrics, in a registry of their own. The README lists them; a test holds that list true."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody asks for

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CALLS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 200)
CONFIDENCE = tuple(range(10, 101, 10))
STALENESS = (1, 5, 15, 30, 60, 90, 120, 300, 600, 1800, 3600, 7200, 10800, 21600)

OTHER = "other"
"""The label of all stores that are not tracked: a crawler of names must not make a series of each."""


@dataclass(slots=True)
class Metrics:
    """Children are made once here or looked up by a bounded set of labels.

    The label `store` names those that are tracked; what belongs to none, or to several, has none.
    """

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    request_seconds: Histogram = field(init=False)
    client_calls: Counter = field(init=False)
    staleness: Histogram = field(init=False)
    store_calls: Counter = field(init=False)
    upstream_calls: Counter = field(init=False)
    upstream_seconds: Histogram = field(init=False)
    upstream_remaining: Gauge = field(init=False)
    lane_wait_seconds: Histogram = field(init=False)
    jobs: Counter = field(init=False)
    job_seconds: Histogram = field(init=False)
    match_confidence: Histogram = field(init=False)
    queue: Gauge = field(init=False)
    provider_calls: Counter = field(init=False)
    provider_quota: Gauge = field(init=False)
    checks: Counter = field(init=False)
    check_calls: Histogram = field(init=False)
    check_age: Gauge = field(init=False)
    sweep_pages: Gauge = field(init=False)
    webhook_deliveries: Counter = field(init=False)
    webhook_events_dropped: Counter = field(init=False)
    webhook_backlog: Gauge = field(init=False)
    webhook_backlog_age: Gauge = field(init=False)
    degraded: Gauge = field(init=False)
    restarts: Gauge = field(init=False)
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
        self.lane_wait_seconds = Histogram(
            "discogs_proxy_lane_wait_seconds",
            "Time that a call waited for budget, in vain included.",
            ("lane",),
            buckets=SECONDS,
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
        self.queue = Gauge("discogs_proxy_queue_releases", "Releases by state.", ("status",), registry=registry)
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
        self.restarts = Gauge(
            "discogs_proxy_background_restarts",
            "Restarts of a background task that died.",
            ("task",),
            registry=registry,
        )

    def track(self, usernames: Collection[str]) -> None:
        """These stores have series of their own from now on; those of others end."""
        gone, self._tracked = self._tracked.difference(usernames), frozenset(usernames)
        for username in gone:
            for metric in (self.requests, self.client_calls, self.staleness, self.store_calls, self.sweep_pages):
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

    def called(self, username: str | None, lane: str, outcome: str, seconds: float) -> None:
        """Discogs was asked, for the inventory of this store or for something else."""
        self.upstream_calls.labels(lane, outcome).inc()
        self.upstream_seconds.labels(lane).observe(seconds)
        if username:
            self.store_calls.labels(self._named(username), lane).inc()

    def _label(self, stores: Mapping[str, int] | None) -> str:
        return self._named(next(iter(stores))) if stores and len(stores) == 1 else ""

    def _named(self, username: str) -> str:
        return username if username in self._tracked else OTHER
