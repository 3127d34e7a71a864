"""A Prometheus beside the demo, where it is installed, with the configuration and the alerts of grafana/prometheus."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.commands.processes import HOST, ROOT, Process, running

FOLDER = ROOT / "grafana" / "prometheus"


@contextmanager
def prometheus(port: int, target: str) -> Iterator[Process | None]:
    """Scrapes `target` (host:port) until the end; its data is gone then. None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="discogs-proxy-prometheus-") as name:
        folder = Path(name)
        for each in ("prometheus.yml", "rules.yml"):
            shutil.copy(FOLDER / each, folder / each)
        (folder / "targets").mkdir()
        (folder / "targets" / "demo.yml").write_text(f'- targets: ["{target}"]\n', encoding="utf-8")
        command = (
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            "--log.level=error",
        )
        with running(command) as process:
            yield process
