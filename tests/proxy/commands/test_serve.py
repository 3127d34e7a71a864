from __future__ import annotations

from pathlib import Path

from proxy.commands.serve import NOT_BUILT_YET, without_effect
from proxy.settings import Settings, variables

README = Path(__file__).resolve().parents[3] / "README.md"


def test_settings_without_effect_are_named_once_they_are_set() -> None:
    assert without_effect(Settings.from_environment({})) == []
    assert without_effect(Settings.from_environment({"WORKERS": "4", "REDIS_URL": "redis://cache"})) == [
        "REDIS_URL",
        "WORKERS",
    ]


def test_settings_without_effect_are_in_the_readme() -> None:
    said = README.read_text().partition("without effect yet:")[2].partition(".\n")[0]
    assert {name for name in said.replace("`", "").replace(",", " ").split() if name.isupper()} == set(NOT_BUILT_YET)
    assert set(NOT_BUILT_YET) <= {each.name for each in variables()}
