"""The metrics of several processes as one text in Prometheus' format 0.0.4; each series tells whose it is."""

from __future__ import annotations

from collections.abc import Mapping


def together(texts: Mapping[str, str]) -> str:
    """`texts` by the value of the label `worker`. A family's lines must follow each other, whoever has them."""
    families: dict[str, tuple[dict[str, None], list[str]]] = {}
    for worker, text in texts.items():
        heads, samples = families.setdefault("", ({}, []))
        for line in text.splitlines():
            if line.startswith("# "):
                heads, samples = families.setdefault(line.split(" ", 3)[2], ({}, []))
                heads[line] = None
            elif line:
                samples.append(labelled(line, worker))
    return "".join(f"{line}\n" for heads, samples in families.values() for line in (*heads, *samples))


def labelled(sample: str, worker: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
