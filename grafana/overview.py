"""Overview: is it well, and what does it save?"""

from __future__ import annotations

from grafana.panels import (
    AMBER,
    GREEN,
    RED,
    Column,
    Query,
    Row,
    bars,
    dashboard,
    lines,
    stat,
    table,
    timeline,
    value_texts,
)
from grafana.queries import (
    ANSWERED,
    EACH,
    LATENCY,
    MODELLED,
    MOST_SHOWN,
    NEARING_S,
    SHARES,
    SHOPPERS,
    SIX_HOURS_S,
    WAITING,
    a_minute,
    audio_share,
    hit_rate,
    increase,
    mean,
    quantile,
    rate,
    reduction,
    shared,
)

FAILED = 'status=~"5.."'
OF_A_STORE = 'store!=""'

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
            "count (discogs_proxy_build_info) or vector(0)",
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

MOST_ASKED_FOR = f"topk({MOST_SHOWN}, sum by (store) ({increase('requests_total', OF_A_STORE)}))"


def of_those(expr: str) -> str:
    return f"({expr}) and on (store) {MOST_ASKED_FOR}"


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
                Column("requests", MOST_ASKED_FOR),
                Column("answers at hand", of_those(hit_rate(OF_A_STORE, "store")), "percentunit", 1, SHARES),
                Column(
                    "calls spared",
                    of_those(reduction(OF_A_STORE, "store", "store_upstream_calls_total")),
                    "percentunit",
                    1,
                    SHARES,
                ),
                Column(
                    "95 of 100 load within",
                    of_those(
                        "histogram_quantile(0.95, sum by (le, store) "
                        f"({increase('inventory_load_seconds_bucket', OF_A_STORE)}))"
                    ),
                    "s",
                    2,
                    LATENCY,
                ),
                Column(
                    "oldest listing",
                    of_those(shared("listing_age_seconds", "", "store")),
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
            Query(quantile(0.99, "event_loop_lag_seconds", by="instance, worker"), "{{instance}} {{worker}}"),
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
                "{{instance}} {{worker}}",
            ),
            unit="bytes",
            width=6,
        ),
        lines(
            "How busy is the processor?",
            "Processor seconds a second of each process; at 1 it can do no more.",
            Query(
                f"rate(process_cpu_seconds_total[{EACH}]) and on (instance) discogs_proxy_build_info",
                "{{instance}} {{worker}}",
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

DASHBOARD = dashboard(
    "overview", "Overview", "Is it well, and what does it save?", (IS_IT_WELL, WHAT_IT_SAVES, THE_PROCESS)
)
