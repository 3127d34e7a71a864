"""The dashboards, written to grafana/dashboards/*.json by `python -m grafana.dashboards`; a test holds the files true.

Counters of processes are added up; what all processes read from one database is the same in each: its maximum.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana.panels import (
    AMBER,
    GREEN,
    RED,
    Column,
    Json,
    Panel,
    Query,
    Row,
    bars,
    dashboard,
    heatmap,
    lines,
    stat,
    table,
    timeline,
    value_texts,
    variable,
)

FOLDER = Path(__file__).resolve().parent / "dashboards"
EACH = "$__rate_interval"
WHOLE = "$__range"
"""The time that is looked at."""

MOST_SHOWN = 10
"""Series of one panel: with fifty stores the first ten tell."""

MODELLED = "Modelled: a direct client's calls for the same answers, each as long as Discogs takes of late."

ANSWERED = 'source!="own"'
"""Our own pages and refusals are nobody's cache."""

# Labels of series.
FAILED = 'status=~"5.."'
SHOPPERS = 'lane="shopper"'
DECIDED = 'status=~"matched|unmatched"'
MATCHED = 'status="matched"'
WAITING = 'status=~"queued|processing"'
QUEUED = 'status="queued"'
OF_A_STORE = 'store!=""'
OF_A_PROVIDER = 'provider!=""'
NO_ANSWER = 'outcome=~"throttled|broken|given_up"'
ASKED = 'outcome!="skipped"'
REFUSED = 'outcome="4xx"'
BROKEN = 'outcome=~"5xx|timeout|broken"'
LEFT = 'state="left"'
STORE = 'store="$store"'
LEFT_OF_STORE = f"{STORE}, {LEFT}"
READ_OF_STORE = f'{STORE}, state="read"'

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


def audio_share(title: str) -> Panel:
    return stat(
        title,
        "Releases matched, of those matched and unmatched, since the beginning.",
        SHARE_WITH_AUDIO,
        unit="percentunit",
        steps=((None, RED), (0.3, AMBER), (0.5, GREEN)),
        decimals=0,
    )


# --- Overview -------------------------------------------------------------------------------------------------------


def reduction(labels: str = "", by: str = "", upstream: str = "upstream_calls_total", over: str = WHOLE) -> str:
    groups = f" by ({by})" if by else ""
    called, spared = increase(upstream, labels, over), increase("client_calls_total", labels, over)
    return f"1 - sum{groups} ({called}) / sum{groups} ({spared})"


def hit_rate(labels: str = "", by: str = "", over: str = WHOLE) -> str:
    groups, told = f" by ({by})" if by else "", f"{labels}, {ANSWERED}" if labels else ANSWERED
    hits = increase("requests_total", told.replace(ANSWERED, 'source="hit"'), over)
    return f"sum{groups} ({hits}) / sum{groups} ({increase('requests_total', told, over)})"


def mean(metric: str, labels: str = "") -> str:
    return f"sum ({increase(f'{metric}_sum', labels)}) / sum ({increase(f'{metric}_count', labels)})"


OF_STORES = 'store!~"|other"'

IS_IT_WELL = Row(
    "Is it well?",
    (
        stat(
            "Is everything well?",
            "How many things are degraded, as /readyz tells: the operator's credential, Discogs, the budget, the "
            "database, stores, audio providers, webhooks, background tasks.",
            "sum (max by (reason) (discogs_proxy_degraded))",
            steps=((None, GREEN), (1, RED)),
            mappings=value_texts({"0": ("all is well", GREEN)}),
        ),
        stat(
            "How many processes answer?",
            "Processes that Prometheus scraped last time.",
            "count (discogs_proxy_build_info)",
            steps=((None, RED), (1, GREEN)),
        ),
        stat(
            "How many requests fail?",
            "Answers with status 5xx among all of the time shown; those of Discogs count, as shoppers see them.",
            f"(sum ({increase('requests_total', FAILED)}) or vector(0)) / sum ({increase('requests_total', ANSWERED)})",
            unit="percentunit",
            steps=((None, GREEN), (0.01, AMBER), (0.05, RED)),
            decimals=2,
        ),
        stat(
            "How many shoppers were turned away?",
            "Requests that got no budget within UPSTREAM_DEADLINE in the time shown, and so became 429.",
            f"sum ({increase('lane_refusals_total', SHOPPERS)})",
            steps=((None, GREEN), (1, AMBER), (100, RED)),
            decimals=0,
        ),
        stat(
            "How late are checks?",
            "The longest time since a check, of stores that were asked for in the last ten minutes: so late a sold "
            "listing can be.",
            shared("check_age_seconds"),
            unit="s",
            steps=((None, GREEN), (180, AMBER), (600, RED)),
        ),
        stat(
            "How many calls are left in this minute?",
            "Of those that Discogs allows to this address; at 0 shoppers wait.",
            "min (discogs_proxy_upstream_budget_remaining)",
            steps=((None, RED), (1, AMBER), (10, GREEN)),
        ),
        timeline(
            "When was what degraded?",
            "A red band while a reason held; docs/alerts.md tells what to do about each.",
            Query("max by (reason) (discogs_proxy_degraded)", "{{reason}}"),
            width=12,
            steps=((None, GREEN), (1, RED)),
            mappings=value_texts({"0": ("well", GREEN), "1": ("degraded", RED)}),
        ),
        lines(
            "How many requests come, and how do they end?",
            "Answers a minute by the class of their status; 429 are shoppers who waited in vain for budget.",
            Query(
                a_minute(
                    f'sum by (class) (label_replace({rate("requests_total")}, "class", "$1xx", "status", "([0-9]).*"))'
                ),
                "{{class}}",
            ),
            stacked=True,
            width=12,
            unit="reqpm",
        ),
    ),
)

WHAT_IT_SAVES = Row(
    "What does it save?",
    (
        stat(
            "How many calls to Discogs are spared?",
            "1 - calls sent, background included, / calls that direct clients would have made, in the time shown.",
            reduction(),
            unit="percentunit",
            steps=SHARES,
            decimals=1,
        ),
        stat(
            "How often is the answer at hand?",
            "Requests answered fresh without waiting for Discogs, of all in the time shown.",
            hit_rate(),
            unit="percentunit",
            steps=SHARES,
            decimals=1,
        ),
        stat(
            "How long does an inventory take?",
            "On average in the time shown, from wherever it was answered.",
            mean("inventory_load_seconds"),
            unit="s",
            steps=LATENCY,
        ),
        stat(
            "How long would it take directly?",
            MODELLED,
            mean("inventory_direct_seconds"),
            unit="s",
        ),
        audio_share("How many releases have audio?"),
        stat(
            "How many releases wait for audio?",
            "Queued or being matched now.",
            f"sum ({shared('queue_releases', WAITING, 'status')})",
        ),
        lines(
            "How many calls would be made, how many are?",
            "A minute: what direct clients would send to Discogs, and what is sent.",
            Query(a_minute(f"sum ({rate('client_calls_total')})"), "without the proxy"),
            Query(a_minute(f"sum ({rate('upstream_calls_total')})"), "sent to Discogs"),
            unit="cpm",
        ),
        lines(
            "How long do shoppers wait, how long would they?",
            "Time to answer for an inventory, beside what a direct client would have waited for the same answers.",
            Query(quantile(0.5, "inventory_load_seconds"), "half of them, at most"),
            Query(quantile(0.95, "inventory_load_seconds"), "95 of 100, at most"),
            Query(quantile(0.5, "inventory_direct_seconds"), "directly: half of them, at most"),
            Query(quantile(0.95, "inventory_direct_seconds"), "directly: 95 of 100, at most"),
            unit="s",
        ),
        lines(
            "Where do answers come from?",
            "Answers a minute: hit and stale without waiting for Discogs, miss and revalidated after it, bypass "
            "through it.",
            Query(a_minute(f"sum by (source) ({rate('requests_total', ANSWERED)})"), "{{source}}"),
            stacked=True,
            unit="reqpm",
        ),
        table(
            "Which stores are asked for most, and what does each save?",
            f"The {MOST_SHOWN} stores with the most requests in the time shown; `other` stores are not tracked.",
            "store",
            (
                Column("requests", f"topk({MOST_SHOWN}, sum by (store) ({increase('requests_total', OF_A_STORE)}))"),
                Column("answers at hand", hit_rate(OF_A_STORE, "store"), "percentunit", 1, SHARES),
                Column(
                    "calls spared",
                    reduction(OF_A_STORE, "store", "store_upstream_calls_total"),
                    "percentunit",
                    1,
                    SHARES,
                ),
                Column(
                    "95 of 100 load within",
                    "histogram_quantile(0.95, sum by (le, store) "
                    f"({increase('inventory_load_seconds_bucket', OF_A_STORE)}))",
                    "s",
                    2,
                    LATENCY,
                ),
                Column(
                    "oldest listing",
                    shared("listing_age_seconds", "", "store"),
                    "s",
                    0,
                    ((None, GREEN), (NEARING_S, AMBER), (SIX_HOURS_S, RED)),
                ),
            ),
        ),
    ),
)

THE_PROCESS = Row(
    "Does anything hold it up?",
    (
        lines(
            "Is the event loop on time?",
            "By how much a sleeping task is woken too late (99 of 100, at most): everybody waits so long.",
            Query(quantile(0.99, "event_loop_lag_seconds", by="instance"), "{{instance}}"),
            unit="s",
            steps=((None, GREEN), (0.1, AMBER), (0.5, RED)),
            width=6,
        ),
        lines(
            "Are there connections to PostgreSQL enough?",
            "In use and idle, beside the most that there may be, of all processes.",
            Query("sum by (state) (discogs_proxy_database_connections)", "{{state}}"),
            width=6,
        ),
        lines(
            "How long does work wait for a connection?",
            "Until one is free (95 and 99 of 100, at most).",
            Query(quantile(0.95, "database_acquire_seconds"), "95 of 100"),
            Query(quantile(0.99, "database_acquire_seconds"), "99 of 100"),
            unit="s",
            steps=((None, GREEN), (0.1, AMBER), (1.0, RED)),
            width=6,
        ),
        lines(
            "How much memory does it hold?",
            "Resident memory of each process.",
            Query(
                "process_resident_memory_bytes and on (instance) discogs_proxy_build_info",
                "{{instance}}",
            ),
            unit="bytes",
            width=6,
        ),
        lines(
            "How busy is the processor?",
            "Processor seconds a second of each process; at 1 it can do no more.",
            Query(
                f"rate(process_cpu_seconds_total[{EACH}]) and on (instance) discogs_proxy_build_info",
                "{{instance}}",
            ),
            unit="percentunit",
            steps=((None, GREEN), (0.8, AMBER), (0.95, RED)),
            width=6,
        ),
        lines(
            "Do events reach the shop?",
            "Webhook batches a minute by what came of them.",
            Query(a_minute(f"sum by (outcome) ({rate('webhook_deliveries_total')})"), "{{outcome}}"),
            stacked=True,
            unit="cpm",
            width=6,
        ),
        lines(
            "Do events wait?",
            "Webhook events that are not delivered yet; they are kept for three days.",
            Query(shared("webhook_backlog_events"), "events"),
            steps=((None, GREEN), (1000, AMBER), (50_000, RED)),
            width=6,
        ),
        bars(
            "Which version runs?",
            "Processes by version and Python.",
            Query("count by (version, python) (discogs_proxy_build_info)", "{{version}}, Python {{python}}"),
            width=6,
        ),
    ),
)

# --- Store ----------------------------------------------------------------------------------------------------------

STORE_NOW = Row(
    "What does the proxy do for $store?",
    (
        stat(
            "How many requests came?",
            "In the time shown.",
            f"sum ({increase('requests_total', STORE)})",
            decimals=0,
        ),
        stat(
            "How often is the answer at hand?",
            "Requests answered fresh without waiting for Discogs, of all in the time shown.",
            hit_rate(STORE),
            unit="percentunit",
            steps=SHARES,
            decimals=1,
        ),
        stat(
            "How many calls are spared?",
            "1 - calls sent for this store's inventory / calls that direct clients would have made, in the time shown.",
            reduction(STORE, upstream="store_upstream_calls_total"),
            unit="percentunit",
            steps=SHARES,
            decimals=1,
        ),
        stat(
            "How long does its inventory take?",
            "On average in the time shown, from wherever it was answered.",
            mean("inventory_load_seconds", STORE),
            unit="s",
            steps=LATENCY,
        ),
        stat(
            "How long would it take directly?",
            MODELLED,
            mean("inventory_direct_seconds", STORE),
            unit="s",
        ),
        stat(
            "How old is its oldest listing?",
            "Since Discogs last gave it. Beyond six hours it is not shown; a store that nobody looks at may get there.",
            f"{shared('listing_age_seconds', STORE)} or vector(0)",
            unit="s",
            steps=((None, GREEN), (NEARING_S, AMBER), (SIX_HOURS_S, RED)),
        ),
    ),
)

STORE_OVER_TIME = Row(
    "How was it?",
    (
        lines(
            "Where do answers come from?",
            "Answers a minute by source.",
            Query(a_minute(f"sum by (source) ({rate('requests_total', STORE)})"), "{{source}}"),
            stacked=True,
            unit="reqpm",
        ),
        lines(
            "How long do shoppers wait, by where the answer comes from?",
            "95 of 100 inventories, at most; beside what a direct client would have waited.",
            Query(quantile(0.95, "inventory_load_seconds", STORE, "source"), "{{source}}"),
            Query(quantile(0.95, "inventory_direct_seconds", STORE), "directly"),
            unit="s",
        ),
        lines(
            "How fresh are answers?",
            "How long before the answer it was last found true; half and 95 of 100, at most.",
            Query(quantile(0.5, "staleness_seconds", STORE), "half of them"),
            Query(quantile(0.95, "staleness_seconds", STORE), "95 of 100"),
            unit="s",
            steps=((None, GREEN), (3600, AMBER), (NEARING_S, RED)),
        ),
        lines(
            "How many calls would be made, how many are?",
            "A minute, for this store.",
            Query(a_minute(f"sum ({rate('client_calls_total', STORE)})"), "without the proxy"),
            Query(a_minute(f"sum ({rate('store_upstream_calls_total', STORE)})"), "sent to Discogs"),
            unit="cpm",
        ),
        lines(
            "What are calls made for?",
            "Calls a minute for its inventory by lane: shoppers who waited, checks, sweeps.",
            Query(a_minute(f"sum by (lane) ({rate('store_upstream_calls_total', STORE)})"), "{{lane}}"),
            stacked=True,
            unit="cpm",
        ),
        lines(
            "How far is its sweep?",
            "Pages that are read, and left, while all of it is read; 0 when it is known as a whole.",
            Query(f"{shared('sweep_pages', LEFT_OF_STORE)} or vector(0)", "left"),
            Query(f"{shared('sweep_pages', READ_OF_STORE)} or vector(0)", "read"),
        ),
        lines(
            "Which requests fail?",
            "Answers a minute by status.",
            Query(a_minute(f"sum by (status) ({rate('requests_total', STORE)})"), "{{status}}"),
            stacked=True,
            unit="reqpm",
        ),
        lines(
            "How old is its oldest listing?",
            "Since Discogs last gave it; checks read pages again before six hours are over.",
            Query(f"{shared('listing_age_seconds', STORE)} or vector(0)", "oldest listing"),
            unit="s",
            steps=((None, GREEN), (NEARING_S, AMBER), (SIX_HOURS_S, RED)),
        ),
        heatmap(
            "How do load times spread?",
            "Inventories by the time that they took.",
            f"sum by (le) ({increase('inventory_load_seconds_bucket', STORE, EACH)})",
            unit="s",
        ),
    ),
)

# --- Matching -------------------------------------------------------------------------------------------------------

THE_QUEUE = Row(
    "Does the queue move?",
    (
        stat(
            "How many releases wait?",
            "Queued, those that are parked included.",
            shared("queue_releases", QUEUED),
        ),
        stat(
            "How many are parked?",
            "A provider or Discogs could not answer; they are tried again by themselves.",
            shared("queue_parked_releases"),
        ),
        stat(
            "How long has the oldest waited?",
            "Since it could have been taken. Shoppers' releases come first, so one of history may wait long.",
            shared("queue_age_seconds", QUEUED),
            unit="s",
        ),
        stat(
            "How many were given up?",
            "Failed after all their attempts: look at them in /admin, and requeue them there.",
            shared("queue_releases", 'status="failed"'),
            steps=((None, GREEN), (1, AMBER), (100, RED)),
        ),
        audio_share("How many of the decided have audio?"),
        stat(
            "How long does a job take?",
            "On average in the time shown, waiting for providers included.",
            mean("match_job_seconds"),
            unit="s",
        ),
        lines(
            "How many releases are in each state?",
            "Of all that were ever seen in an inventory or looked at.",
            Query(shared("queue_releases", "", "status"), "{{status}}"),
            stacked=True,
        ),
        lines(
            "How do jobs end?",
            "Jobs a minute: cached is matched and kept, parked and retried come again.",
            Query(a_minute(f"sum by (result) ({rate('match_jobs_total')})"), "{{result}}"),
            stacked=True,
            unit="cpm",
        ),
        lines(
            "How long has the oldest been in its state?",
            "Queued since it may be taken; one that is processed for minutes belonged to a process that died.",
            Query(shared("queue_age_seconds", WAITING, "status"), "{{status}}"),
            unit="s",
        ),
    ),
)

THE_MATCHES = Row(
    "Are the matches good?",
    (
        lines(
            "What becomes of tracks?",
            "Tracks a minute of decided releases: approved without a person, pending, or none.",
            Query(a_minute(f"sum by (verdict) ({rate('match_tracks_total')})"), "{{verdict}}"),
            stacked=True,
            unit="cpm",
        ),
        bars(
            "Whose matches are approved, whose wait for a person?",
            "Tracks in the time shown by provider and verdict.",
            Query(
                f"sum by (provider, verdict) ({increase('match_tracks_total', OF_A_PROVIDER)})",
                "{{provider}}, {{verdict}}",
            ),
        ),
        heatmap(
            "How sure is the best match of a release?",
            "Releases by their highest confidence, 0 to 100.",
            f"sum by (le) ({increase('match_best_confidence_bucket', over=EACH)})",
        ),
    ),
)

THE_PROVIDERS = Row(
    "Do the providers answer?",
    (
        lines(
            "What comes of each provider?",
            f"Answers a minute; the {MOST_SHOWN} most frequent of provider and outcome.",
            Query(
                a_minute(f"topk({MOST_SHOWN}, sum by (provider, outcome) ({rate('provider_calls_total')}))"),
                "{{provider}}, {{outcome}}",
            ),
            unit="cpm",
            width=12,
        ),
        lines(
            "How often does a provider not answer?",
            "Throttled, broken and given up, of all times that it was asked.",
            Query(
                f"(sum by (provider) ({rate('provider_calls_total', NO_ANSWER)})"
                f" or 0 * sum by (provider) ({rate('provider_calls_total', ASKED)}))"
                f" / sum by (provider) ({rate('provider_calls_total', ASKED)})",
                "{{provider}}",
            ),
            unit="percentunit",
            most=1,
            steps=((None, GREEN), (0.2, AMBER), (0.8, RED)),
            width=6,
        ),
        bars(
            "How much of today's quota is left?",
            "Of providers that allow so many calls a day; at 0 the rest waits for tomorrow.",
            Query(
                f"{shared('provider_quota_remaining', '', 'provider, limit')}"
                f" / {shared('provider_quota_limit', '', 'provider, limit')}",
                "{{provider}}, {{limit}}",
            ),
            unit="percentunit",
            most=1,
            steps=((None, RED), (0.05, AMBER), (0.25, GREEN)),
            width=6,
        ),
    ),
)

# --- Upstream and budget --------------------------------------------------------------------------------------------

THE_BUDGET = Row(
    "Is there budget enough?",
    (
        stat(
            "How many calls are left in this minute?",
            "Of those that Discogs allows to this address; at 0 shoppers wait.",
            "min (discogs_proxy_upstream_budget_remaining)",
            steps=((None, RED), (1, AMBER), (10, GREEN)),
        ),
        stat(
            "How many does Discogs allow?",
            "A minute: 60 with a credential that it takes, 25 without; 0 where there is no limit.",
            shared("upstream_budget_limit"),
            steps=((None, GREEN), (1, AMBER), (60, GREEN)),
        ),
        stat(
            "How often did Discogs refuse?",
            "Answers 4xx in the time shown: 429 is somebody else behind this address, 401 the credential.",
            f"sum ({increase('upstream_calls_total', REFUSED)}) or vector(0)",
            steps=((None, GREEN), (10, AMBER), (100, RED)),
            decimals=0,
        ),
        stat(
            "How often did Discogs fail?",
            "5xx, timeouts and broken answers, of all calls in the time shown.",
            f"(sum ({increase('upstream_calls_total', BROKEN)}) or vector(0))"
            f" / sum ({increase('upstream_calls_total')})",
            unit="percentunit",
            steps=((None, GREEN), (0.05, AMBER), (0.2, RED)),
            decimals=1,
        ),
        stat(
            "How long does Discogs take?",
            "On average in the time shown, from the request to the end of the answer.",
            mean("upstream_seconds"),
            unit="s",
            steps=LATENCY,
        ),
        stat(
            "How many shoppers were turned away?",
            "Requests that got no budget within UPSTREAM_DEADLINE in the time shown, and so became 429.",
            f"sum ({increase('lane_refusals_total', SHOPPERS)})",
            steps=((None, GREEN), (1, AMBER), (100, RED)),
            decimals=0,
        ),
        lines(
            "What are calls made for?",
            "Calls a minute by lane: shoppers first, then checks, sweeps, matching and renewing ahead.",
            Query(a_minute(f"sum by (lane) ({rate('upstream_calls_total')})"), "{{lane}}"),
            stacked=True,
            unit="cpm",
        ),
        lines(
            "How much of the budget is used?",
            "Calls left in each minute, beside what Discogs allows.",
            Query("min (discogs_proxy_upstream_budget_remaining)", "left"),
            Query(shared("upstream_budget_limit"), "allowed"),
        ),
        lines(
            "How long do calls wait for budget?",
            "95 of 100, at most, by lane; shoppers wait UPSTREAM_DEADLINE at most, background work longer.",
            Query(quantile(0.95, "lane_wait_seconds", by="lane"), "{{lane}}"),
            unit="s",
        ),
        lines(
            "Which calls get no budget?",
            "Calls a minute that waited in vain, by lane. Background work comes again by itself.",
            Query(a_minute(f"sum by (lane) ({rate('lane_refusals_total')})"), "{{lane}}"),
            stacked=True,
            unit="cpm",
        ),
        lines(
            "How long does Discogs take?",
            "Half and 95 of 100 calls, at most.",
            Query(quantile(0.5, "upstream_seconds"), "half of them"),
            Query(quantile(0.95, "upstream_seconds"), "95 of 100"),
            unit="s",
            steps=LATENCY,
        ),
        lines(
            "What does Discogs answer?",
            "Calls a minute by the class of the status, or timeout, or broken.",
            Query(a_minute(f"sum by (outcome) ({rate('upstream_calls_total')})"), "{{outcome}}"),
            stacked=True,
            unit="cpm",
        ),
    ),
)

THE_CHECKS = Row(
    "Are the stores kept true?",
    (
        lines(
            "How do checks of stores end?",
            "Checks a minute: swept reads a store as a whole, gone is a store that Discogs does not know.",
            Query(a_minute(f"sum by (result) ({rate('checks_total')})"), "{{result}}"),
            stacked=True,
            unit="cpm",
        ),
        lines(
            "How late are checks?",
            "The longest time since a check, of stores that were asked for in the last ten minutes.",
            Query(shared("check_age_seconds"), "longest"),
            unit="s",
            steps=((None, GREEN), (180, AMBER), (600, RED)),
        ),
        lines(
            "How many calls does a check take?",
            "On average and 95 of 100, at most, sweeps left out; one call where nothing has changed.",
            Query(f"sum ({rate('check_calls_sum')}) / sum ({rate('check_calls_count')})", "on average"),
            Query(quantile(0.95, "check_calls"), "95 of 100"),
        ),
        lines(
            "Which stores cost most calls?",
            f"Calls a minute for the inventories of the {MOST_SHOWN} costliest stores.",
            Query(
                a_minute(f"topk({MOST_SHOWN}, sum by (store) ({rate('store_upstream_calls_total')}))"),
                "{{store}}",
            ),
            unit="cpm",
        ),
        lines(
            "How many pages of sweeps are left?",
            f"Of the {MOST_SHOWN} stores with most; 0 when all are known as a whole.",
            Query(f"topk({MOST_SHOWN}, {shared('sweep_pages', LEFT, 'store')}) or vector(0)", "{{store}}"),
        ),
        bars(
            "Whose listings are oldest?",
            f"Since Discogs last gave it, of {MOST_SHOWN} stores; none is shown beyond six hours.",
            Query(f"topk({MOST_SHOWN}, {shared('listing_age_seconds', '', 'store')})", "{{store}}"),
            unit="s",
            steps=((None, GREEN), (NEARING_S, AMBER), (SIX_HOURS_S, RED)),
        ),
    ),
)

DASHBOARDS: dict[str, Json] = {
    "overview": dashboard(
        "overview", "Overview", "Is it well, and what does it save?", (IS_IT_WELL, WHAT_IT_SAVES, THE_PROCESS)
    ),
    "store": dashboard(
        "store",
        "Store",
        "One store: what it is spared, how long it takes, how fresh it is.",
        (STORE_NOW, STORE_OVER_TIME),
        [variable("store", "Store", f"label_values(discogs_proxy_requests_total{{{OF_STORES}}}, store)")],
    ),
    "matching": dashboard(
        "matching",
        "Matching",
        "Does the queue move, are the matches good, do the providers answer?",
        (THE_QUEUE, THE_MATCHES, THE_PROVIDERS),
    ),
    "upstream": dashboard(
        "upstream",
        "Upstream and budget",
        "Is there budget enough, does Discogs answer, are the stores kept true?",
        (THE_BUDGET, THE_CHECKS),
    ),
}


def written(found: Json) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for name, found in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
