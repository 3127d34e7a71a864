from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.domain.exposition import together


def exposition(value: float) -> str:
    registry = CollectorRegistry()
    Gauge("plain", "Without labels.", registry=registry).set(value)
    Counter("asked", "With one that needs care.", ("what",), registry=registry).labels('a"b\\c\n{d} e').inc(value)
    Histogram("took", "In buckets.", buckets=(1, 2), registry=registry).observe(value)
    return generate_latest(registry).decode()


def test_each_series_tells_of_which_process_it_is_and_each_family_stands_together() -> None:
    found = list(text_string_to_metric_families(together({"1": exposition(1), "2": exposition(3)})))
    assert len({family.name for family in found}) == len(found)
    values = {
        (sample.name, sample.labels["worker"], sample.labels.get("what"), sample.labels.get("le")): sample.value
        for family in found
        for sample in family.samples
    }
    assert (values["plain", "1", None, None], values["plain", "2", None, None]) == (1, 3)
    assert values["asked_total", "2", 'a"b\\c\n{d} e', None] == 3
    assert values["took_bucket", "1", None, "2.0"] == 1
    assert values["took_bucket", "2", None, "2.0"] == 0


def test_the_help_of_a_family_is_told_once() -> None:
    assert together({"1": exposition(1), "2": exposition(1)}).count("# HELP plain ") == 1


def test_a_family_that_one_process_alone_has_is_kept() -> None:
    assert together({"0": "# HELP a b\n# TYPE a gauge\na 1.0\n", "1": ""}) == (
        '# HELP a b\n# TYPE a gauge\na{worker="0"} 1.0\n'
    )
