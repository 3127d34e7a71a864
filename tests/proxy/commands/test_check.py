from __future__ import annotations

import pytest

from proxy.commands.check import Verdict, webhooks
from proxy.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


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
