"""The admin token when none is set: made once, kept for its owner's eyes only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FILE_NAME = "admin-token"


def kept_admin_token(data_dir: Path) -> tuple[str, Path]:
    """The token in DATA_DIR, made at first; and the path of its file, which the operator is told."""
    file = data_dir / FILE_NAME
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip(), file
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(secrets.token_urlsafe(32) + "\n")
    return file.read_text(encoding="utf-8").strip(), file
