"""What is answered, before any protocol."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.upstream.demo.ask import Ask, Choice, Named, Tool
from ccx.upstream.demo.turn import Finish, Say, Thought, Use, tokens, turn
from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

TOOLS = (
    Tool("get_weather", SCHEMA),
    Tool("clock", None),
    Tool("mcp.files-read", {"type": "object"}),
    Tool("patch", None, custom=True),
)


def ask(
    text: str,
    *,
    result: str | None = None,
    choice: Choice = "auto",
    parallel: bool = True,
    limit: int | None = None,
    stop: tuple[str, ...] = (),
    thinking: bool = False,
    schema: dict[str, object] | None = None,
    tools: tuple[Tool, ...] = TOOLS,
) -> Ask:
    return Ask(
        model="m",
        messages=3,
        text=text,
        result=result,
        input_tokens=5,
        tools=tools,
        choice=choice,
        parallel=parallel,
        limit=limit,
        stop=stop,
        thinking=thinking,
        schema=schema,
    )


def called(asked: Ask) -> list[str]:
    return [part.tool.name for part in turn(asked).parts if isinstance(part, Use)]


@given(st.text())
def test_tokens_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert all(tokens(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("call clock", ["clock"]),
        ("Please CALL the `get_weather` tool.", ["get_weather"]),
        ("call get_weather and clock", ["get_weather", "clock"]),
        ("call get_weather, clock, and patch now", ["get_weather", "clock", "patch"]),
        ("call clock & clock", ["clock", "clock"]),
        ("call mcp.files-read.", ["mcp.files-read"]),
        ("call clock. Then call patch.", ["clock", "patch"]),
        ("call 'Get_Weather'", ["get_weather"]),
        ("use a tool", ["get_weather"]),
        ("call nothing", []),
        ("recall clock", []),
        ("hello clock", []),
    ],
)
def test_calls(text: str, names: list[str]) -> None:
    assert called(ask(text)) == names
    assert turn(ask(text)).finish is (Finish.TOOL_CALLS if names else Finish.STOP)


def test_choices() -> None:
    assert called(ask("hello", choice="any")) == ["get_weather"]
    assert called(ask("call clock", choice="any")) == ["clock"]
    assert called(ask("hello", choice=Named(("patch",)))) == ["patch"]
    assert called(ask("call clock", choice=Named(("patch",)))) == ["patch"]
    assert called(ask("call clock", choice="none")) == []
    assert called(ask("call clock and patch", parallel=False)) == ["clock"]
    assert called(ask("call clock", result="done")) == []
    assert called(ask("call clock", choice="any", tools=())) == []


def test_arguments() -> None:
    weather, clock, patch = (
        part for part in turn(ask("call get_weather, clock and patch")).parts if isinstance(part, Use)
    )
    assert weather.arguments == json.loads(weather.text) == ARGUMENTS
    assert (clock.arguments, clock.text) == ({}, "{}")
    assert patch.text == "demo"


def test_texts() -> None:
    (said,) = turn(ask("hello")).parts
    assert isinstance(said, Say)
    assert "m with 3 messages" in said.text
    assert '"hello"' in said.text
    (told,) = turn(ask("", result="it is\n42")).parts
    assert isinstance(told, Say)
    assert '"it is 42"' in told.text
    (long,) = turn(ask("x" * 10_000)).parts
    assert len(long.text) < 400


def test_structured() -> None:
    (said,) = turn(ask("hello", schema=SCHEMA)).parts
    assert json.loads(said.text) == ARGUMENTS
    (listed,) = turn(ask("hello", schema={"type": "array", "minItems": 1, "items": {"type": "null"}})).parts
    assert listed.text == "[null]"


def test_stop_sequences() -> None:
    answer = turn(ask("hello", stop=("nothere", "not a", "demo upstream")))
    assert (answer.finish, answer.stop_sequence) == (Finish.STOP_SEQUENCE, "demo upstream")
    assert answer.parts[0].text == "This is the ccx "


@pytest.mark.parametrize("text", ["hello", "call get_weather and clock"])
@pytest.mark.parametrize("thinking", [False, True])
def test_the_limit_is_kept(text: str, thinking: bool) -> None:
    whole = turn(ask(text, thinking=thinking))
    assert isinstance(whole.parts[0], Thought) is thinking
    assert whole.thought_tokens == (len(whole.parts[0].pieces) if thinking else 0)
    for limit in range(1, whole.output_tokens + 2):
        answer = turn(ask(text, thinking=thinking, limit=limit))
        assert answer.output_tokens <= limit
        assert (answer.finish is Finish.LENGTH) is (limit < whole.output_tokens)
        for part in answer.parts:
            if isinstance(part, Use):
                json.loads(part.text)  # a call is made whole or not at all
            assert part.pieces
    assert turn(ask(text, thinking=thinking, limit=whole.output_tokens)) == whole
