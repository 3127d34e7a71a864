"""Matching: does the queue move, are the matches good, do the providers answer?"""

from __future__ import annotations

from grafana.panels import AMBER, GREEN, RED, Query, Row, bars, dashboard, heatmap, lines, stat
from grafana.queries import (
    EACH,
    MOST_SHOWN,
    WAITING,
    a_minute,
    audio_share,
    increase,
    mean,
    rate,
    shared,
)

QUEUED = 'status="queued"'
OF_A_PROVIDER = 'provider!=""'
NO_ANSWER = 'outcome=~"throttled|broken|given_up"'
ASKED = 'outcome!="skipped"'

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

DASHBOARD = dashboard(
    "matching",
    "Matching",
    "Does the queue move, are the matches good, do the providers answer?",
    (THE_QUEUE, THE_MATCHES, THE_PROVIDERS),
)
