from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.routing.decide import Cell
from ccx.routing.facts import Axis, Facts
from ccx.telemetry.lines import MAX_TEXT, Clock, json_line, printable, text_line
from tests.telemetry.records import ATTEMPT, exchange

HOSTILE = st.text(alphabet=st.characters(), max_size=40) | st.sampled_from(
    ['"}\n{"status":200', "\x1b[2J\x1b]0;x\x07", "\ud800", "a\u2028b", "\r\nGET /", "\x00", "x" * 5000],
)


def parsed(**changes: Any) -> dict[str, Any]:
    line = json_line(exchange(**changes), Clock())
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    loaded = json.loads(line)
    assert isinstance(loaded, dict)
    return loaded


def test_the_whole_line() -> None:
    assert parsed(losses=("messages.0.cache",), prefix="team") == {
        "ts": "2026-01-01T00:00:00.250Z",
        "request_id": "req_1",
        "client": "team-a",
        "tags": {"team": "core"},
        "protocol": "messages",
        "operation": "generate",
        "prefix": "team",
        "model": "model",
        "model_sent": "model-2025",
        "route": "default",
        "channel": "primary",
        "key": "0badcafe",
        "status": 200,
        "error": None,
        "attempts": [
            {
                "channel": "backup",
                "protocol": "chat",
                "model": "other-1",
                "key": None,
                "outcome": "overloaded",
                "status": 529,
                "ms": 250.0,
            },
            {
                "channel": "primary",
                "protocol": "messages",
                "model": "model-2025",
                "key": "0badcafe",
                "outcome": "ok",
                "status": 200,
                "ms": 1500.0,
            },
        ],
        "stream": True,
        "tokens": {"in": 100, "out": 20, "cache_read": 7, "cache_write": 3, "reasoning": 2, "counted": 120},
        "latency": {"first_byte_ms": 400.0, "total_ms": 1750.0},
        "bytes": {"in": 1000, "out": 2000},
        "digest": "d" * 64,
        "table": None,
        "finish": "stop",
        "losses": ["messages.0.cache"],
        "continued": 0,
        "hedged": None,
        "limited_by": None,
        "queued_ms": None,
        "shed": None,
        "cache": None,
        "sticky_tokens": None,
        "facts": None,
    }


ALL = Cell(
    (),
    frozenset(Axis),
    headers=frozenset({"x-tier", "x-gone", "x-long", "x-hidden"}),
    fields=frozenset({"a.b", "n", "flag", "gone", "long", "list", "huge", "Secret"}),
)
SEEN = Facts(
    Protocol.MESSAGES,
    "model",
    tokens_at_most=900,
    tools=True,
    server_tools=frozenset({"web_search", "bash"}),
    images=True,
    headers={"x-tier": "gold", "x-long": "x" * 257, "x-hidden": "me"},
    body={"a.b": "c", "n": 3.5, "flag": False, "long": "y" * 257, "list": [1], "huge": 2**70, "Secret": "me"},
)


def facts_line(seen: Facts, asked: Cell, **changes: Any) -> Any:
    line = json_line(exchange(seen=seen, asked=asked, **changes), Clock(), redact={"x-hidden", "secret"})
    return json.loads(line)["facts"]


def test_the_line_tells_what_the_decision_was_made_of() -> None:
    assert facts_line(SEEN, ALL, counted_tokens=None) == {
        "tokens_at_most": 900,
        "tools": True,
        "server_tools": ["bash", "web_search"],
        "thinking": False,
        "images": True,
        "headers": {"x-tier": "gold", "x-gone": None},
        "body": {"a.b": "c", "n": 3.5, "flag": False, "gone": None},
    }


def test_what_was_not_asked_for_is_not_told() -> None:
    assert facts_line(SEEN, replace(ALL, axes=frozenset(), headers=frozenset(), fields=frozenset())) == {}
    only = replace(ALL, axes=frozenset({Axis.THINKING, Axis.CLIENT}), headers=frozenset(), fields=frozenset())
    assert facts_line(SEEN, only) == {"thinking": False}


@pytest.mark.parametrize(
    ("bound", "counted", "told"),
    [
        (900, 120, {}),  # the count says more
        (None, None, {"tokens_at_most": None}),  # a prompt that cannot be counted
        (2**62 + 5, None, {}),  # no bound at all
        (0, None, {"tokens_at_most": 0}),
    ],
)
def test_a_bound_is_told_where_it_says_something(
    bound: int | None, counted: int | None, told: dict[str, int | None]
) -> None:
    asked = replace(ALL, axes=frozenset({Axis.INPUT_TOKENS}), headers=frozenset(), fields=frozenset())
    assert facts_line(replace(SEEN, tokens_at_most=bound), asked, counted_tokens=counted) == told


@pytest.mark.parametrize("hostile", ["\ud800", "\x1b[2J", "\r\n", '"}'])
def test_a_hostile_fact_stays_inside_its_line(hostile: str) -> None:
    seen = replace(SEEN, headers={"x-tier": hostile}, body={"a.b": hostile}, server_tools=frozenset({hostile}))
    line = facts_line(seen, ALL)
    shown = hostile.replace("\ud800", "?")
    assert (line["headers"]["x-tier"], line["body"]["a.b"], line["server_tools"]) == (shown, shown, [shown])


def test_the_fields_do_not_depend_on_what_happened() -> None:
    bare = parsed(
        client=None,
        tags={},
        model_asked=None,
        route=None,
        attempts=(),
        finish=None,
        first_byte_seconds=None,
        status=404,
    )
    assert bare.keys() == parsed().keys()
    assert (bare["channel"], bare["key"], bare["latency"]["first_byte_ms"]) == (None, None, None)


@given(name=HOSTILE, request_id=HOSTILE, tag=HOSTILE)
def test_a_hostile_name_stays_inside_its_line_and_its_field(name: str, request_id: str, tag: str) -> None:
    line = parsed(model_asked=name, request_id=request_id, tags={tag: tag}, finish=name, prefix=name)
    assert line["status"] == 200
    if len(name) <= MAX_TEXT and name.isprintable() and "\ud800" not in name:
        assert line["model"] == name
    assert len(line["model"]) <= MAX_TEXT
    assert len(line["request_id"]) <= MAX_TEXT


@pytest.mark.parametrize("colour", [True, False])
@given(name=HOSTILE)
def test_a_hostile_name_cannot_drive_the_terminal(colour: bool, name: str) -> None:
    attempt = ATTEMPT._replace(model=name)
    line = text_line(
        exchange(model_asked=name, attempts=(attempt,), operation=name, route=name), Clock(), colour=colour
    )
    text = line.decode()
    assert text.endswith("\n")
    shown = text[:-1]
    for sequence in ("\x1b[2m", "\x1b[32m", "\x1b[0m") if colour else ():
        shown = shown.replace(sequence, "")
    assert shown.isprintable()


def test_a_key_passed_by_mistake_is_not_shown() -> None:
    secret = "sk-ant-REDACT-ME-0123456789"
    attempt = ATTEMPT._replace(key=secret)
    line = json_line(exchange(attempts=(attempt,)), Clock())
    assert secret.encode() not in line
    assert json.loads(line)["key"] == "redacted"
    assert secret.encode() not in text_line(exchange(attempts=(attempt,)), Clock(), colour=False)


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1, max_size=6))
def test_the_clock_agrees_with_datetime(stamps: list[int]) -> None:
    clock = Clock()
    for milliseconds in stamps:
        expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        assert clock(milliseconds / 1000) == expected.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def test_text_says_what_went_wrong() -> None:
    text = text_line(exchange(status=529, error_kind="overloaded"), Clock(), colour=False).decode()
    assert text == (
        "00:00:00.250 529 messages   model                        → primary/model-2025                       "
        "  1.75s first 400ms  100→20 tok  route default  client team-a  error overloaded  backup: overloaded\n"
    )


@pytest.mark.parametrize(("status", "colour"), [(200, "\x1b[32m"), (429, "\x1b[33m"), (500, "\x1b[31m")])
def test_text_colours_the_status(status: int, colour: str) -> None:
    assert f"{colour}{status}\x1b[0m" in text_line(exchange(status=status), Clock(), colour=True).decode()


def test_text_without_an_upstream() -> None:
    text = text_line(
        exchange(attempts=(), model_asked=None, input_tokens=None, output_tokens=None, operation="count_tokens"),
        Clock(),
        colour=False,
    ).decode()
    assert " - " in text
    assert "?→? tok" in text
    assert "count_tokens" in text


def test_printable_leaves_letters_of_any_script_alone() -> None:
    assert printable("modèle-数") == "modèle-数"
    assert printable("a\nb\x1b") == "a\\nb\\x1b"
