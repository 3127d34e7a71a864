"""What dashboards ask of Prometheus.

Counters of processes are added up; what all processes read from one database is the same in each: its maximum.
"""

from __future__ import annotations

from grafana.panels import AMBER, GREEN, RED, Panel, stat

EACH = "$__rate_interval"
WHOLE = "$__range"
"""The time that is looked at."""

MOST_SHOWN = 10
"""Series of one panel: with fifty stores the first ten tell."""

MODELLED = "Modelled: a direct client's calls for the same answers, each as long as Discogs takes of late."

ANSWERED = 'source!="own"'
"""Our own pages and refusals are nobody's cache."""

# Labels of series.
SHOPPERS = 'lane="shopper"'
DECIDED = 'status=~"matched|unmatched"'
MATCHED = 'status="matched"'
WAITING = 'status=~"queued|processing"'
LEFT = 'state="left"'
STORE = 'store="$store"'

SHARES = ((None, RED), (0.5, AMBER), (0.8, GREEN))
LATENCY = ((None, GREEN), (1.0, AMBER), (5.0, RED))
SIX_HOURS_S = 6 * 3600
NEARING_S = 5.5 * 3600


def rate(metric: str, labels: str = "") -> str:
    return f"rate(discogs_proxy_{metric}{{{labels}}}[{EACH}])"


def increase(metric: str, labels: str = "", over: str = WHOLE) -> str:
    return f"increase(discogs_proxy_{metric}{{{labels}}}[{over}])"


def quantile(share: float, metric: str, labels: str = "", by: str = "") -> str:
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({groups}) ({rate(f'{metric}_bucket', labels)}))"


def a_minute(expr: str) -> str:
    return f"60 * {expr}"


def shared(metric: str, labels: str = "", by: str = "") -> str:
    """What is read from the database is the same in every process."""
    groups = f" by ({by})" if by else ""
    return f"max{groups} (discogs_proxy_{metric}{{{labels}}})"


SHARE_WITH_AUDIO = f"{shared('queue_releases', MATCHED)} / sum ({shared('queue_releases', DECIDED, 'status')})"


def reduction(labels: str = "", by: str = "", upstream: str = "upstream_calls_total", over: str = WHOLE) -> str:
    groups = f" by ({by})" if by else ""
    called, spared = increase(upstream, labels, over), increase("client_calls_total", labels, over)
    return f"1 - {_share(called, spared, groups)}"


def hit_rate(labels: str = "", by: str = "", over: str = WHOLE) -> str:
    groups, told = f" by ({by})" if by else "", f"{labels}, {ANSWERED}" if labels else ANSWERED
    hits = increase("requests_total", told.replace(ANSWERED, 'source="hit"'), over)
    return _share(hits, increase("requests_total", told, over), groups)


def _share(part: str, whole: str, groups: str) -> str:
    """0 where there is nothing of the part yet: such a series begins with the first."""
    return f"(sum{groups} ({part}) or 0 * sum{groups} ({whole})) / sum{groups} ({whole})"


def mean(metric: str, labels: str = "") -> str:
    return f"sum ({increase(f'{metric}_sum', labels)}) / sum ({increase(f'{metric}_count', labels)})"


# --- a panel of several dashboards -----------------------------------------------------------------------------------


def audio_share(title: str) -> Panel:
    return stat(
        title,
        "Releases matched, of those matched and unmatched, since the beginning.",
        SHARE_WITH_AUDIO,
        unit="percentunit",
        steps=((None, RED), (0.3, AMBER), (0.5, GREEN)),
        decimals=0,
    )
