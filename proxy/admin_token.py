"""The admin token when none is set: made once, kept for its owner's eyes only."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

FILE_NAME = "admin-token"


def kept_admin_token(data_dir: Path) -> tuple[str, Path]:
    """The token in DATA_DIR, made at first; and the path of its file, which the operator is told."""
    file = data_dir / FILE_NAME
    data_dir.mkdir(parents=True, exist_ok=True)
    if token := _read(file):
        return token, file
    _write(file, secrets.token_urlsafe(32))
    return file.read_text(encoding="utf-8").strip(), file


def _read(file: Path) -> str:
    """Empty where there is none; an empty file, left by a full disk, is none either."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _write(file: Path, token: str) -> None:
    """Whole or not at all: whoever is killed in between leaves no half of it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-", delete=False) as made:  # 0600
        made.write(token + "\n")
        made.flush()
        os.fsync(made.fileno())
    Path(made.name).replace(file)
