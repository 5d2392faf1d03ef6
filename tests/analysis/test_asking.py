"""The command that asks for a request, read back by the command line's own options."""

from __future__ import annotations

import shlex
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ccx.analysis.asking import command
from ccx.cli.asked import given
from ccx.protocols.names import Protocol
from ccx.routing.decide import Decider
from ccx.routing.facts import Facts
from ccx.routing.table import Client, RoutingTable

CLIENT = Client("team-a", ("00",), tags=(("tier", "gold"),))
TABLE = RoutingTable("ccx/v1", (), (), (CLIENT,))


@pytest.mark.parametrize(
    "facts",
    [
        Facts(Protocol.MESSAGES, "claude-opus-4-1", input_tokens=0, direct=True),
        Facts(Protocol.CHAT, "a b'c$(d)", input_tokens=128_000, stream=True, thinking=True, images=True, direct=True),
        Facts(Protocol.IMAGES, None, direct=True),
        Facts(Protocol.MESSAGES, "-dash", input_tokens=5, client="team-a", tags={"tier": "gold"}),
        Facts(
            Protocol.GEMINI,
            "m",
            input_tokens=1,
            tools=True,
            server_tools=frozenset({"web_search", "code"}),
            headers={"x-stage": "beta; 1=2", "x-empty": ""},
            prefix="lab",
            body={"metadata.tier": "gold", "n": 3, "flag": True, "text": "3"},
            direct=True,
        ),
    ],
)
def test_what_is_asked_for_is_what_is_read(facts: Facts) -> None:
    words = shlex.split(command(facts))
    assert words[:2] == ["ccx", "explain"]
    assert _read(words[2:]) == facts


def test_another_spec_is_named() -> None:
    words = shlex.split(command(Facts(Protocol.MESSAGES, "m", input_tokens=0), spec="other dir/ccx.yaml"))
    assert words[2] == "other dir/ccx.yaml"


def _read(words: list[str]) -> Facts:
    found: list[Facts] = []
    app = typer.Typer()

    @app.command()
    def explain(
        model: str | None = None,
        protocol: str = "messages",
        tokens: str | None = None,
        stream: bool = False,
        tools: bool = False,
        server_tool: Annotated[list[str] | None, typer.Option()] = None,
        thinking: bool = False,
        images: bool = False,
        client: str | None = None,
        header: Annotated[list[str] | None, typer.Option()] = None,
        prefix: str | None = None,
        body_field: Annotated[list[str] | None, typer.Option()] = None,
    ) -> None:
        found.append(
            given(
                Decider(TABLE),
                protocol=Protocol(protocol),
                model=model,
                tokens=tokens,
                stream=stream,
                tools=tools,
                server_tools=server_tool or [],
                thinking=thinking,
                images=images,
                client=client,
                headers=header or [],
                prefix=prefix,
                body_fields=body_field or [],
            )
        )

    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return found[0]
