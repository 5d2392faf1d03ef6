"""Lint never raises, and fixing never makes a spec worse, whatever the spec: cases cut, doubled and mixed at random."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ccx.lint.examine import Wish
from ccx.lint.mend import mend
from ccx.protocols.names import Protocol
from ccx.routing.decide import Decider, NeedsTokens
from ccx.routing.facts import Facts
from tests.lint.cases import ENTRY, FOLDER, TODAY, Memory, completed, examined

CORPUS: list[str] = []
for path in sorted(FOLDER.glob("*.yaml")):
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text())
    CORPUS += [one["spec"] for one in document["bad"]] + document["good"]

NAMES = st.sampled_from(["main", "lab", "a", "b"])
GLOBS = st.lists(
    st.sampled_from(["*", "a*", "*b", "ab", "a*b", "!a*", "!ab", "!*"]), min_size=1, max_size=3, unique=False
)
WHEN = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "model": GLOBS,
            "protocol": st.lists(st.sampled_from(["messages", "chat", "images", "embeddings"]), min_size=1, max_size=3),
            "input_tokens": st.lists(
                st.sampled_from(["< 10", "> 10", ">= 10", "5..10", "10..20"]), min_size=1, max_size=2
            ),
            "stream": st.booleans(),
            "tools": st.booleans(),
            "client": GLOBS,
            "tag": st.dictionaries(st.sampled_from(["t", "u"]), GLOBS, max_size=2),
            "header": st.dictionaries(st.sampled_from(["X-A", "x-b"]), GLOBS, max_size=2),
            "body": st.dictionaries(
                st.sampled_from(["m.t"]), st.lists(st.booleans(), min_size=1, max_size=2), max_size=1
            ),
            "any": st.lists(WHEN, min_size=1, max_size=3),
            "not": WHEN,
        },
    )
)
TARGET = st.fixed_dictionaries(
    {"channel": NAMES},
    optional={"model": st.sampled_from(["ab", "gpt-5", "claude-sonet-4-5"]), "weight": st.integers(0, 3)},
)
GROUP = st.fixed_dictionaries(
    {
        "balance": st.sampled_from(["priority", "weighted", "round_robin"]),
        "targets": st.lists(TARGET, min_size=1, max_size=3),
    }
)
ROUTE = st.fixed_dictionaries(
    {"when": WHEN, "to": st.lists(st.one_of(NAMES, TARGET, GROUP), min_size=1, max_size=3)},
    optional={
        "failover": st.fixed_dictionaries(
            {},
            optional={
                "on": st.lists(st.sampled_from(["connect", "timeout", "bad_request"]), max_size=3, unique=True),
                "attempts": st.integers(1, 4),
                "deadline": st.sampled_from(["100ms", "50s"]),
            },
        ),
        "request": st.fixed_dictionaries(
            {}, optional={"drop": st.lists(st.sampled_from(["a", "messages"]), max_size=2), "set": st.just({"a": 1})}
        ),
    },
)
CHANNEL = st.fixed_dictionaries(
    {"provider": st.just("demo")},
    optional={
        "models": st.one_of(
            GLOBS, st.dictionaries(st.sampled_from(["a*", "ab"]), st.sampled_from([None, "up"]), min_size=1)
        ),
        "enabled": st.booleans(),
        "prefix": st.sampled_from(["p", "q"]),
        "limits": st.just({"requests": ["10/s", "1000/min"]}),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A spec as JSON, which is YAML."""
    routes = draw(st.lists(ROUTE, max_size=5))
    key = {"key": {"sha256": "6d21164477a9c73e31be668f4b7a43ac4facb88e86af815d2e8c9604419b69d4"}, "tags": {"t": "ab"}}
    document = {
        "version": "ccx/v1",
        "channels": draw(st.dictionaries(NAMES, CHANNEL, min_size=2, max_size=4)),
        "clients": draw(st.sampled_from([{}, {"ab": key}])),
        "routes": [{"name": f"r{number}", **route} for number, route in enumerate(routes)],
    }
    return json.dumps(document, indent=draw(st.sampled_from([None, 1])))


@st.composite
def mutilated(draw: st.DrawFn) -> str:
    """Cases with lines left out, doubled, exchanged, and characters lost."""
    text = completed(draw(st.sampled_from(CORPUS)))
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 3))):
        here, there = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.integers(0, 3)):
            case 0:
                lines.insert(there, lines[here])
            case 1:
                lines[here], lines[there] = lines[there], lines[here]
            case 2:
                at = draw(st.integers(0, len(lines[here])))
                lines[here] = lines[here][:at] + lines[here][at + 1 :]
            case _:
                lines[here] = draw(st.sampled_from(["# ccx: ignore[CCX201] x\n", "routes:\n", "  - name: z\n", "\n"]))
    return "".join(lines)


def tried(times: int) -> settings:
    return settings(max_examples=times, deadline=None, suppress_health_check=list(HealthCheck))


@tried(60)
@given(st.one_of(documents(), mutilated()))
def test_lint_never_raises(text: str) -> None:
    one = examined(text)
    for found in one.linted.findings:
        assert found.file in one.loaded.closure.files or not found.file
        for edit in found.fix.edits if found.fix is not None else ():
            assert edit.file == str(ENTRY)


@tried(25)
@given(st.one_of(documents(), mutilated()))
def test_fixing_never_makes_a_spec_worse_and_ends(text: str) -> None:
    memory = Memory({ENTRY: text})
    done = mend(ENTRY, Wish(today=TODAY), unsafe=False, read=memory.read, names=memory)
    before, after = done.before, done.after
    if before.compiled is None or not before.compiled.servable:
        return
    assert after.compiled is not None
    assert after.compiled.servable
    # What the proofs of equality claim, asked of some requests.
    old, new = Decider(before.compiled.table), Decider(after.compiled.table)
    for protocol in (Protocol.MESSAGES, Protocol.IMAGES):
        for model in ("ab", "axb", "gpt-5", None):
            for tokens in (0, 9, 10, 11, 30):
                facts = Facts(protocol, model, input_tokens=tokens, stream=tokens == 9, tools=model == "ab")
                first, second = old.decide(facts), new.decide(facts)
                assert not isinstance(first, NeedsTokens)
                assert not isinstance(second, NeedsTokens)
                assert [c.channel.name for s in first.steps for c in s.choices] == [
                    c.channel.name for s in second.steps for c in s.choices
                ]
    again = mend(
        ENTRY,
        Wish(today=TODAY),
        unsafe=False,
        read=lambda real: done.files.get(real) or memory.read(real),
        names=memory,
    )
    assert not again.files
