"""Upstream and budget: is there budget enough, does Discogs answer, are the stores kept true?"""

from __future__ import annotations

from grafana.panels import AMBER, GREEN, RED, Query, Row, bars, dashboard, lines, stat
from grafana.queries import (
    LATENCY,
    LEFT,
    MOST_SHOWN,
    NEARING_S,
    SHOPPERS,
    SIX_HOURS_S,
    a_minute,
    increase,
    mean,
    quantile,
    rate,
    shared,
)

REFUSED = 'outcome="4xx"'
BROKEN = 'outcome=~"5xx|timeout|broken"'

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

DASHBOARD = dashboard(
    "upstream",
    "Upstream and budget",
    "Is there budget enough, does Discogs answer, are the stores kept true?",
    (THE_BUDGET, THE_CHECKS),
)
