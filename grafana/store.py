"""Store: what one store is spared, how long it takes, how fresh it is."""

from __future__ import annotations

from grafana.panels import AMBER, GREEN, RED, Query, Row, dashboard, heatmap, lines, stat, variable
from grafana.queries import (
    EACH,
    LATENCY,
    LEFT,
    MODELLED,
    NEARING_S,
    SHARES,
    SIX_HOURS_S,
    STORE,
    a_minute,
    hit_rate,
    increase,
    mean,
    quantile,
    rate,
    reduction,
    shared,
)

LEFT_OF_STORE = f"{STORE}, {LEFT}"
READ_OF_STORE = f'{STORE}, state="read"'
OF_STORES = 'store!~"|other"'
"""Those that can be chosen."""

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

DASHBOARD = dashboard(
    "store",
    "Store",
    "One store: what it is spared, how long it takes, how fresh it is.",
    (STORE_NOW, STORE_OVER_TIME),
    [variable("store", "Store", f"label_values(discogs_proxy_requests_total{{{OF_STORES}}}, store)")],
)
