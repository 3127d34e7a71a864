from __future__ import annotations

from pathlib import Path

import pytest

from proxy.setting_values import Reviewer, Store
from proxy.settings import Settings, SettingsError, read_environment, variables

ROOT = Path(__file__).resolve().parents[2]
ANNA, BEN = "the-token-of-anna", "the-token-of-ben"


def problems(**environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    settings = Settings.from_environment({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.discogs_api_url == "https://api.discogs.com"
    assert settings.discogs_rate_limit is None
    assert settings.audio_matching_batch_size == 5
    assert (settings.cache_persistence_threshold, settings.approval_threshold) == (50, 85)
    assert settings.match_providers == ("discogs_videos", "musicbrainz", "deezer")
    assert settings.content_max_age_ms == 6 * 60 * 60 * 1000


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "abc", "a whole number from 0 to 65535"),
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("PORT", "８０８０", "a whole number"),
        ("NEW_LISTING_CHECK_INTERVAL", "99", "a whole number at least 100 milliseconds"),
        ("CONTENT_MAX_AGE", "21600001", "six hours"),
        ("CACHE_PERSISTENCE_THRESHOLD", "101", "a number from 0 to 100"),
        ("APPROVAL_THRESHOLD", "nan", "a number from 0 to 100"),
        ("BACKGROUND_PROCESSING_ENABLED", "maybe", "true or false"),
        ("DISCOGS_API_URL", "api.discogs.com", "such as http://host"),
        ("DISCOGS_API_URL", "https://api.discogs.com/v2", "without a path"),
        ("PUBLIC_URL", "https://user@host", "without a path"),
        ("AUDIO_VISIBLE", "none", "one of all, approved"),
        ("MATCH_PROVIDERS", "discogs_videos,spotify", "comma list of discogs_videos"),
        ("TRUSTED_PROXIES", "localhost", "IP addresses or networks"),
        ("STORES", "a store", "comma list of usernames"),
        ("TLS_CERT", "/nowhere/cert.pem", "a file that exists"),
        ("DISCOGS_USER_AGENT", "shöp/1", "printable ASCII"),
    ],
)
def test_a_wrong_value_names_itself_and_what_is_allowed(name: str, value: str, allowed: str) -> None:
    message = problems(**{name: value})
    assert message.startswith(f"{name} is '{value}': it must be ")
    assert allowed in message


def test_all_problems_are_told_at_once() -> None:
    assert len(problems(PORT="x", WORKERS="0", LOG_LEVEL="loud").splitlines()) == 3


def test_a_secret_is_never_shown() -> None:
    assert "hunter2" not in problems(DATABASE_URL="mysql://root:hunter2@db")
    settings = Settings.from_environment({"DISCOGS_TOKEN": "hunter2", "REVIEW_TOKENS": "anna:hunter2-and-a-half"})
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DISCOGS_CONSUMER_KEY": "k"}, "DISCOGS_CONSUMER_KEY and DISCOGS_CONSUMER_SECRET must be set together"),
        ({"TLS_KEY": __file__}, "TLS_CERT and TLS_KEY must be set together"),
        ({"OWN_FRONT_END_VIEW": "public"}, "OWN_FRONT_END_VIEW is public, but DISCOGS_TOKEN"),
        ({"MATCH_PROVIDERS": "youtube"}, "YOUTUBE_API_KEY is not set"),
        ({"STORES": "a=x,A=y"}, "STORES names a twice"),
        ({"WEBHOOK_SECRET": "s"}, "WEBHOOK_URL is not"),
        ({"WEBHOOK_URL": "https://shop.example/hook"}, 'echo "whsec_$(openssl rand -base64 32)"'),
        ({"DISCOGS_API_URL": "http://127.0.0.1:8080"}, "DISCOGS_API_URL is the proxy itself"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environment: dict[str, str], told: str) -> None:
    assert told in problems(**environment)


@pytest.mark.parametrize(
    "value", ["shop.example/hook", "ftp://u:hunter2@shop.example", "https://", "https:///hunter2", "http://a/#hunter2"]
)
def test_a_webhook_url_that_is_none_is_refused_and_not_shown(value: str) -> None:
    message = problems(WEBHOOK_URL=value, WEBHOOK_SECRET="s")
    assert message.startswith("WEBHOOK_URL (its value is not shown): it must be a URL such as https://host")
    assert "hunter2" not in message


def test_a_webhook_secret_that_cannot_be_read_is_refused_and_not_shown() -> None:
    message = problems(WEBHOOK_URL="https://shop.example", WEBHOOK_SECRET="whsec_hunter2!")
    assert message == "WEBHOOK_SECRET (its value is not shown): it must be base64 after whsec_"


def test_a_webhook_url_is_kept_as_it_is() -> None:
    url = "https://user:hunter2@shop.example/hook/?a=b"
    settings = Settings.from_environment({"WEBHOOK_URL": url, "WEBHOOK_SECRET": "s"})
    assert settings.webhook_url == url
    assert "hunter2" not in repr(settings)


def test_a_misspelt_name_is_found() -> None:
    assert "DISCOGS_TOKNE is not a setting: did you mean DISCOGS_TOKEN?" in problems(DISCOGS_TOKNE="x")


def test_variables_of_other_programs_are_left_alone() -> None:
    Settings.from_environment({"HOSTNAME": "x", "PORTS": "1", "PATH": "/bin", "DISCOGS_SAMPLES": "x"})


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.from_environment({"PORT": "", "DISCOGS_TOKEN": " "}).port == 8080


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    settings = Settings.from_environment({"DISCOGS_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.discogs_token == "from-a-file"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in problems(DISCOGS_TOKEN_FILE=str(tmp_path / "none"))


def test_a_secret_is_set_once() -> None:
    assert "must be set once" in problems(DISCOGS_TOKEN="a", DISCOGS_TOKEN_FILE="b")


def test_stores_have_aliases() -> None:
    assert Settings.from_environment({"STORES": "shop=Vinyl_Den, other"}).stores == (
        Store("Vinyl_Den", "shop"),
        Store("other", "other"),
    )


def test_reviewers_may_be_limited_to_stores() -> None:
    parsed = Settings.from_environment({"REVIEW_TOKENS": f"anna:{ANNA},ben:{BEN}:a+b"}).review_tokens
    assert parsed == (Reviewer("anna", ANNA, ()), Reviewer("ben", BEN, ("a", "b")))


@pytest.mark.parametrize("stores", ["", "+", "a+", "a b", "a/b"])
def test_a_limit_to_stores_that_names_none_is_refused_and_no_leave_for_all(stores: str) -> None:
    message = problems(REVIEW_TOKENS=f"anna:{ANNA}:{stores}")
    assert "must name stores after the second colon, joined by +, or have no second colon" in message
    assert ANNA not in message


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ADMIN_TOKEN", "hunter2-hunter2", "fewer than 16 characters"),
        ("REVIEW_TOKENS", f"anna:{ANNA},hunter2:hunter2-hunter2", "fewer than 16 characters"),
        ("REVIEW_TOKENS", "hunter2-hunter2-hunter2:anna", "fewer than 16 characters"),
        ("REDIS_URL", "redis://:hunter2@cache", "has no effect yet"),
    ],
)
def test_what_is_not_as_it_should_be_is_told_and_not_shown(name: str, value: str, told: str) -> None:
    (warning,) = Settings.from_environment({name: value}).warnings()
    assert warning.startswith(name)
    assert told in warning
    assert "hunter2" not in warning


def test_what_is_as_it_should_be_is_not_warned_of() -> None:
    assert not [*Settings.from_environment({"ADMIN_TOKEN": ANNA, "REVIEW_TOKENS": f"anna:{ANNA}-2"}).warnings()]


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nHOST=0.0.0.0\n")
    merged = read_environment(tmp_path, {"PORT": "2"})
    assert (merged["PORT"], merged["HOST"]) == ("2", "0.0.0.0")  # noqa: S104


def test_an_unknown_name_in_the_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PROT=1\n")
    with pytest.raises(SettingsError, match=r"PROT .* did you mean PORT"):
        read_environment(tmp_path, {})


def test_every_setting_is_in_the_readme_and_the_example() -> None:
    readme, example = (ROOT / "README.md").read_text(), (ROOT / ".env.example").read_text()
    for variable in variables():
        assert f"`{variable.name}`" in readme
        assert f"\n#{variable.name}={variable.default or ''}\n" in f"\n{example}"
