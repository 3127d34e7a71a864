from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from proxy.domain.webhook import (
    LONGEST_RETRY_S,
    Answered,
    Delivered,
    Failed,
    Gone,
    RecordedEvent,
    Unanswered,
    batch_body,
    is_told,
    judge,
    listing_events,
    match_rejected,
    release_matched,
    signed_headers,
    signing_key,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BATCH = UUID(int=5)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_events_of_listings_name_store_listing_and_release() -> None:
    events = listing_events("shop", {1: 10, 2: 20}, added=[3], removed=[2], changed=[1, 3])
    assert [(event.type.value, event.store, event.data) for event in events] == [
        ("listing.removed", "shop", {"store": "shop", "listing_id": 2, "release_id": 20}),
        ("listing.changed", "shop", {"store": "shop", "listing_id": 1, "release_id": 10}),
        ("listing.added", "shop", {"store": "shop", "listing_id": 3, "release_id": None}),
    ]


def test_what_happens_to_a_release_is_told_to_each_store_that_sells_it_or_else_to_none() -> None:
    assert [event.store for event in release_matched(7, ["b", "a"])] == ["a", "b"]
    [event] = release_matched(7, [])
    assert (event.store, event.data) == (None, {"store": None, "release_id": 7})
    [event] = match_rejected(7, {"track_index": 0, "match_url": "https://a"}, ["a"])
    assert event.data == {"store": "a", "release_id": 7, "track_index": 0, "match_url": "https://a"}


def listing(price: float, want: int) -> bytes:
    release = {"id": 1, "stats": {"community": {"in_wantlist": want}}}
    return json.dumps({"id": 1, "price": {"value": price}, "release": release}).encode()


def pictured(price: float, thumbnail: str) -> bytes:
    """Without a credential Discogs shows the places of pictures empty."""
    release = {"id": 1, "thumbnail": thumbnail, "images": [{"uri": thumbnail}] if thumbnail else []}
    return json.dumps({"id": 1, "price": {"value": price}, "release": release}).encode()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (listing(1, 1), listing(1, 1), False),
        (listing(1, 1), listing(1, 2), False),
        (listing(1, 1), listing(2, 1), True),
        (pictured(1, "https://i/1"), pictured(1, ""), False),
        (pictured(1, ""), pictured(1, "https://i/1"), False),
        (pictured(1, "https://i/1"), pictured(2, ""), True),
        (pictured(1, "https://i/1"), pictured(1, "https://i/2"), True),
        (b'{"a":"\\ud800"}', b'{"a":"\\ud801"}', True),
        (b'{"release":null}', b'{"release":{}}', True),
    ],
)
def test_a_listing_is_told_as_changed_for_what_shoppers_buy_by(before: bytes, after: bytes, told: bool) -> None:
    assert is_told(before, after) is told


def test_a_batch_has_a_type_a_time_and_its_events_in_order() -> None:
    events = [
        RecordedEvent(UUID(int=number), "listing.added", NOW + timedelta(seconds=number), f'{{"listing_id":{number}}}')
        for number in (1, 2)
    ]
    body = batch_body("shop", events)
    assert body == batch_body("shop", events)
    assert json.loads(body) == {
        "type": "events",
        "timestamp": "2026-01-01T12:00:02Z",
        "data": {
            "store": "shop",
            "events": [
                {
                    "id": f"evt_{number:032x}",
                    "type": "listing.added",
                    "timestamp": f"2026-01-01T12:00:0{number}Z",
                    "data": {"listing_id": number},
                }
                for number in (1, 2)
            ],
        },
    }


def test_the_signature_is_that_of_the_specification() -> None:
    """By the example of its libraries."""
    headers = signed_headers(
        signing_key(SECRET), UUID(int=0), datetime.fromtimestamp(1614265330, UTC), b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": f"msg_{0:032x}",
        "webhook-timestamp": "1614265330",
        "webhook-signature": Webhook(SECRET).sign(
            f"msg_{0:032x}", datetime.fromtimestamp(1614265330, UTC), '{"test": 2432232314}'
        ),
    }


@given(key=st.binary(min_size=1, max_size=64), body=st.text(max_size=200))
def test_a_receiver_takes_what_is_signed_and_nothing_else(key: bytes, body: str) -> None:
    headers = signed_headers(key, BATCH, datetime.now(UTC), body.encode())
    Webhook(key).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(body + " ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(key + b"x").verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(body, headers | {"webhook-id": "msg_other"}, json_parse=False)


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_c2VjcmV0", b"secret"),
        ("whsec_c2VjcmV0cw", b"secrets"),  # unpadded
        ("whsec_c2VjcmV0cw==", b"secrets"),
        ("sécret", "sécret".encode()),
        ("c2VjcmV0", b"c2VjcmV0"),
    ],
)
def test_a_secret_is_base64_behind_its_prefix_or_any_text(secret: str, key: bytes) -> None:
    assert signing_key(secret) == key


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!", "whsec_a", "whsec_c2Vj cmV0"])
def test_a_secret_that_is_no_base64_behind_its_prefix_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        signing_key(secret)


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (Answered(200), Delivered()),
        (Answered(299), Delivered()),
        (Answered(410), Gone()),
        (Answered(302), Failed("refused", "status 302", 5)),
        (Answered(500), Failed("refused", "status 500", 5)),
        (Answered(503, "120"), Failed("refused", "status 503", 120, 120)),
        (Answered(429, "2"), Failed("refused", "status 429", 5, 2)),
        (Answered(429, "Thu, 01 Jan 2026 12:01:00 GMT"), Failed("refused", "status 429", 60, 60)),
        (Answered(429, "Thu, 01 Jan 2026 11:00:00 GMT"), Failed("refused", "status 429", 5, 0)),
        (Answered(429, "9" * 400), Failed("refused", "status 429", 3600, 3600)),
        (Answered(429, "soon"), Failed("refused", "status 429", 5, 0)),
        (Unanswered("no connection"), Failed("unanswered", "no connection", 5)),
    ],
)
def test_what_becomes_of_a_batch(ended: Answered | Unanswered, verdict: Delivered | Failed | Gone) -> None:
    assert judge(ended, 1, 0.0, NOW) == verdict


def pauses(jitter: float) -> list[float]:
    verdicts = [judge(Answered(500), attempt, jitter, NOW) for attempt in range(1, 12)]
    return [verdict.retry_s for verdict in verdicts if isinstance(verdict, Failed)]


def test_pauses_double_up_to_the_longest_and_are_never_quite_the_same() -> None:
    assert pauses(0.0) == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]
    assert pauses(1.0) == [each * 1.25 for each in pauses(0.0)]
    verdict = judge(Answered(500), 10_000, 0.0, NOW)
    assert isinstance(verdict, Failed)
    assert verdict.retry_s == LONGEST_RETRY_S
