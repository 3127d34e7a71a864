"""What dashboards are made of: panels as Grafana's JSON, laid out in rows of 24 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 39
"""Of Grafana 10 and 11; later ones read it too."""
COLUMNS = 24

GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` names its series, with labels in {{ }}. `heat`: buckets of a histogram."""

    expr: str
    legend: str = ""
    heat: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`title` is the question that it answers, `help` the sentence behind its (i).

    `steps` are colours by the value from which they count, the first from anything. `width` in columns, `height` in
    rows of 30 pixels.
    """

    kind: str
    title: str
    help: str
    queries: tuple[Query, ...]
    unit: str = "short"
    steps: tuple[tuple[float | None, str], ...] = ((None, BLUE),)
    width: int = 8
    height: int = 8
    least: float | None = None
    most: float | None = None
    decimals: int | None = None
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    mappings: Sequence[Json] = ()
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


# --- kinds of panels ------------------------------------------------------------------------------------------------


def stat(title: str, help_: str, expr: str, **more: Any) -> Panel:
    """One number."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "area",
        "textMode": "auto",
    }
    given: Json = {"width": 4, "height": 4, "options": options}
    return Panel("stat", title, help_, (Query(expr),), **(given | more))


def lines(title: str, help_: str, *queries: Query, stacked: bool = False, **more: Any) -> Panel:
    """Series over time, their legend a table that is sorted by the last value."""
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "calcs": ["lastNotNull", "max"],
            "sortBy": "Last *",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    drawn = {
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": 120_000,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(more.get("steps", ())) > 1 else "off"},
    }
    given: Json = {"options": options, "custom": drawn, "least": 0}
    return Panel("timeseries", title, help_, queries, **(given | more))


def bars(title: str, help_: str, *queries: Query, **more: Any) -> Panel:
    """A bar for each series, as it is now."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "gradient",
        "showUnfilled": True,
    }
    given: Json = {"options": options, "least": 0}
    return Panel("bargauge", title, help_, queries, **(given | more))


def heatmap(title: str, help_: str, expr: str, **more: Any) -> Panel:
    """A histogram over time; `expr` gives its buckets by `le`."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"unit": more.get("unit", "short")},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False},
        "rowsFrame": {"layout": "auto"},
    }
    given: Json = {"options": options}
    return Panel("heatmap", title, help_, (Query(expr, "{{le}}", heat=True),), **(given | more))


def timeline(title: str, help_: str, *queries: Query, **more: Any) -> Panel:
    """States over time, a band for each series."""
    options = {"showValue": "never", "mergeValues": True, "rowHeight": 0.8, "legend": {"showLegend": False}}
    given: Json = {"options": options}
    return Panel("state-timeline", title, help_, queries, **(given | more))


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: the values of a query, in a unit, coloured where steps are given."""

    name: str
    expr: str
    unit: str = "short"
    decimals: int = 0
    steps: tuple[tuple[float | None, str], ...] = ()


def table(title: str, help_: str, label: str, columns: Sequence[Column], **more: Any) -> Panel:
    """A row for each value of `label`, sorted by the first column."""
    names = {f"Value #{chr(65 + place)}": column.name for place, column in enumerate(columns)}
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        {"id": "sortBy", "options": {"sort": [{"field": columns[0].name, "desc": True}]}},
    ]
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    given: Json = {
        "options": options,
        "transformations": transformations,
        "overrides": [_override(each) for each in columns],
        "width": COLUMNS,
    }
    return Panel("table", title, help_, tuple(Query(each.expr, label) for each in columns), **(given | more))


def _override(column: Column) -> Json:
    properties: list[Json] = [{"id": "unit", "value": column.unit}, {"id": "decimals", "value": column.decimals}]
    if column.steps:
        properties.append({"id": "thresholds", "value": _thresholds(column.steps)})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}})
    return {"matcher": {"id": "byName", "options": column.name}, "properties": properties}


def value_texts(texts: dict[str, tuple[str, str]]) -> list[Json]:
    """What stands in place of a value, and its colour."""
    options = {value: {"text": text, "color": colour} for value, (text, colour) in texts.items()}
    return [{"type": "value", "options": options}]


# --- a dashboard ----------------------------------------------------------------------------------------------------


def variable(name: str, label: str, query: str) -> Json:
    """One value of a label, chosen by who looks."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def dashboard(uid: str, title: str, description: str, rows: Sequence[Row], variables: Sequence[Json] = ()) -> Json:
    """Importable: its datasource is a variable."""
    return {
        "uid": f"discogs-proxy-{uid}",
        "title": f"discogs-proxy: {title}",
        "description": description,
        "tags": ["discogs-proxy"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "discogs-proxy",
                "tags": ["discogs-proxy"],
                "asDropdown": False,
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
                *variables,
            ]
        },
        "panels": _laid_out(rows),
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    """From left to right and downwards; a panel that does not fit begins a new line."""
    found: list[Json] = []
    y = 0
    for row in rows:
        found.append(_row(row.title, len(found) + 1, y))
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            found.append(_panel(panel, len(found) + 1, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _row(title: str, number: int, y: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
    }


def _panel(panel: Panel, number: int, place: Json) -> Json:
    defaults: Json = {
        "unit": panel.unit,
        "thresholds": _thresholds(panel.steps),
        "color": {"mode": "palette-classic" if panel.kind in ("timeseries", "heatmap") else "thresholds"},
        "custom": panel.custom,
        "mappings": list(panel.mappings),
    }
    for name, value in (("min", panel.least), ("max", panel.most), ("decimals", panel.decimals)):
        if value is not None:
            defaults[name] = value
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(query, panel.kind, chr(65 + place)) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": list(panel.overrides)},
        "options": panel.options,
        "transformations": list(panel.transformations),
    }


def _target(query: Query, kind: str, ref: str) -> Json:
    is_table = kind == "table"
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend if not is_table and query.legend else "__auto",
        "instant": is_table,
        "range": not is_table,
        "format": "table" if is_table else "heatmap" if query.heat else "time_series",
    }


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}
