"""An independent reader of the text exposition format, and the checks that any output must pass."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]


@dataclass
class Parsed:
    types: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, name: str, /, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def series(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for sample, labels in self.samples if sample == name]


def parse(data: bytes) -> Parsed:
    text = data.decode()
    assert text.endswith("\n")
    parsed = Parsed()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in parsed.helps
            parsed.helps[name] = words
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in parsed.types
            parsed.types[name] = kind
        else:
            name, labels, value = _sample(line)
            key = (name, tuple(sorted(labels)))
            assert key not in parsed.samples, f"twice: {key}"
            parsed.samples[key] = value
    return parsed


def _sample(line: str) -> tuple[str, list[tuple[str, str]], float]:
    at = 0
    while at < len(line) and (line[at].isalnum() or line[at] in "_:"):
        at += 1
    name, labels = line[:at], []
    assert name, line
    if line[at] == "{":
        at += 1
        while line[at] != "}":
            equals = line.index("=", at)
            label = line[at:equals]
            assert label.isidentifier(), line
            assert line[equals + 1] == '"', line
            at, value = equals + 2, ""
            while line[at] != '"':
                if line[at] == "\\":
                    at += 1
                    value += {"\\": "\\", "n": "\n", '"': '"'}[line[at]]
                else:
                    value += line[at]
                at += 1
            at += 1
            labels.append((label, value))
            if line[at] == ",":
                at += 1
        at += 1
    assert line[at] == " ", line
    assert len({label for label, _ in labels}) == len(labels), line
    return name, labels, float(line[at + 1 :])


def check(parsed: Parsed) -> None:
    """Every sample belongs to a declared family, and histograms add up."""
    assert parsed.types.keys() == parsed.helps.keys()
    buckets: dict[tuple[str, Labels], list[tuple[float, float]]] = defaultdict(list)
    for (name, labels), value in parsed.samples.items():
        family = name
        for suffix in ("_bucket", "_sum", "_count"):
            if parsed.types.get(name.removesuffix(suffix)) == "histogram":
                family = name.removesuffix(suffix)
        assert family in parsed.types, f"{name} has no TYPE"
        if parsed.types[family] == "counter":
            assert name.endswith("_total")
            assert value >= 0
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            buckets[family, rest].append((float(dict(labels)["le"]), value))
    for (family, labels), pairs in buckets.items():
        bounds, counts = zip(*pairs, strict=True)
        assert list(bounds) == sorted(bounds)
        assert bounds[-1] == math.inf
        assert list(counts) == sorted(counts), f"{family} falls"
        assert parsed.samples[f"{family}_count", labels] == counts[-1]
        assert (f"{family}_sum", labels) in parsed.samples
