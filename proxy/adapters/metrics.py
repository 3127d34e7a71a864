"""The Prometheus metrics, in a registry of their own. The README lists them; a test holds that list true."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody asks for

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CALLS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 200)
CONFIDENCE = tuple(range(10, 101, 10))


@dataclass(slots=True)
class Metrics:
    """Children are made once here or looked up by a bounded set of labels."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    request_seconds: Histogram = field(init=False)
    upstream_calls: Counter = field(init=False)
    upstream_seconds: Histogram = field(init=False)
    upstream_remaining: Gauge = field(init=False)
    lane_wait_seconds: Histogram = field(init=False)
    jobs: Counter = field(init=False)
    job_seconds: Histogram = field(init=False)
    match_confidence: Histogram = field(init=False)
    queue: Gauge = field(init=False)
    checks: Counter = field(init=False)
    check_calls: Histogram = field(init=False)
    check_age: Gauge = field(init=False)
    sweep_pages: Gauge = field(init=False)
    degraded: Gauge = field(init=False)
    restarts: Gauge = field(init=False)
    _of_requests: dict[tuple[str, str, int | str], tuple[Counter, Histogram]] = field(default_factory=dict)
    """Looking a child up costs more than counting."""

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "discogs_proxy_requests", "Requests answered.", ("kind", "source", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "discogs_proxy_request_seconds",
            "Time to answer a request.",
            ("kind", "source"),
            buckets=SECONDS,
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
            "discogs_proxy_sweep_pages", "Pages of the sweeps that are due: read, left.", ("state",), registry=registry
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

    def answered(self, kind: str, source: str, status: int | str, seconds: float) -> None:
        """A request was answered."""
        labels = kind, source, status
        if labels not in self._of_requests:
            counter = self.requests.labels(kind, source, str(status))
            self._of_requests[labels] = counter, self.request_seconds.labels(kind, source)
        counter, histogram = self._of_requests[labels]
        counter.inc()
        histogram.observe(seconds)
