"""All dashboards. `python -m grafana.dashboards` writes grafana/dashboards/*.json; a test holds the files true."""

from __future__ import annotations

import json
from pathlib import Path

from grafana import matching, overview, store, upstream
from grafana.panels import Json

FOLDER = Path(__file__).resolve().parent / "dashboards"

DASHBOARDS: dict[str, Json] = {
    "overview": overview.DASHBOARD,
    "store": store.DASHBOARD,
    "matching": matching.DASHBOARD,
    "upstream": upstream.DASHBOARD,
}


def written(found: Json) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for name, found in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    main()
