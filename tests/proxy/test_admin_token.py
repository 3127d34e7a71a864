from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.admin_token import FILE_NAME, kept_admin_token


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    token, file = kept_admin_token(tmp_path / "new")
    assert len(token) >= 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_admin_token(tmp_path / "new") == (token, file)
    assert [each.name for each in file.parent.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("left", ["", "\n", "  "])
def test_an_empty_file_is_no_token(tmp_path: Path, left: str) -> None:
    """As a full disk or a power cut leaves it."""
    (tmp_path / FILE_NAME).write_text(left)
    token, _ = kept_admin_token(tmp_path)
    assert len(token) >= 40
