"""What can be wrong with the embedded PostgreSQL; every message says what to do."""

from __future__ import annotations

from pathlib import Path


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another living proxy owns DATA_DIR; `pid` is what it wrote there, for people to read only."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        super().__init__(
            f"DATA_DIR {data_dir} is in use by another discogs-proxy (pid {pid or 'unknown'}): "
            "stop it, or set another DATA_DIR"
        )
        self.data_dir = data_dir
        self.pid = pid


class PostgresNotFound(EmbeddedPostgresError):
    """Neither the wheel nor the system has a PostgreSQL that runs here."""


class PostgresVersionMismatch(EmbeddedPostgresError):
    """The cluster was made by another major version than any that is installed."""


class ClusterNotOurs(EmbeddedPostgresError):
    """The cluster belongs to a user whom we cannot become, or cannot be reached by the one we must be."""


class PostgresFailed(EmbeddedPostgresError):
    """initdb or the server ended with an error; the message carries the tail of its log."""
