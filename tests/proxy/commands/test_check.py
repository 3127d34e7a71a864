from __future__ import annotations

import pytest

from matcher.database import Database
from proxy.audio_providers import provider_client, provider_session
from proxy.commands.check import Verdict, provider, webhooks
from proxy.settings import Settings
from tests.origin import running_origin

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY_INVALID = b'{"error": {"code": 400, "errors": [{"domain": "usageLimits", "reason": "keyInvalid"}]}}'
QUOTA_EXCEEDED = b'{"error": {"code": 403, "errors": [{"domain": "youtube.quota", "reason": "quotaExceeded"}]}}'


@pytest.mark.parametrize(
    ("url", "secret", "verdict", "told"),
    [
        ("", "", Verdict.GOOD, "off"),
        ("https://user:hunter2@shop.example/hook?hunter2", SECRET, Verdict.GOOD, "signed, to https://shop.example"),
        ("http://localhost:3000/hook", SECRET, Verdict.GOOD, "http://localhost"),
        ("http://shop.example/hunter2", SECRET, Verdict.WARNING, "in the clear"),
        ("https://shop.example", "hunter2", Verdict.WARNING, "shorter than 24 bytes"),
    ],
)
def test_webhooks_are_judged_by_their_settings(url: str, secret: str, verdict: Verdict, told: str) -> None:
    found = webhooks(Settings.from_environment({"WEBHOOK_URL": url, "WEBHOOK_SECRET": secret}))
    assert (found.verdict, told in found.found) == (verdict, True)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "told"),
    [
        (200, b"{}", Verdict.GOOD, "answers 200"),
        (400, KEY_INVALID, Verdict.BAD, "YOUTUBE_API_KEY is no valid key"),
        (403, QUOTA_EXCEEDED, Verdict.WARNING, "used up: again in 3600 s"),
        (403, b"{}", Verdict.WARNING, "answered 403"),
        (429, b"{}", Verdict.WARNING, "refused with 429: again in 30 s"),
        (200, b"<html>", Verdict.WARNING, "not JSON"),
    ],
)
async def test_a_provider_is_asked_once(
    database: Database, status: int, body: bytes, verdict: Verdict, told: str
) -> None:
    async with running_origin() as origin, provider_session() as session:
        origin.status, origin.body = status, body
        settings = Settings.from_environment({"YOUTUBE_API_KEY": "hunter2", "YOUTUBE_API_URL": f"{origin.url}/v3"})
        found = await provider("youtube", provider_client("youtube", settings, session, database))
        assert (found.verdict, told in found.found) == (verdict, True)
        assert [request.query["key"] for request in origin.requests] == ["hunter2"]
        assert "hunter2" not in str(found)
