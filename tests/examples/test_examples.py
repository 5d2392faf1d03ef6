"""Every example is valid, compiles, keeps the promises in its `tests:`, and serves a request by each of its routes."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from ccx.cli.main import main
from ccx.protocols.names import Protocol
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import Facts
from ccx.spec.document import Spec
from ccx.spec.suite_file import ENDING
from ccx.spec.validate import Loaded, load
from ccx.upstream.demo.app import DemoApp
from tests.examples.serving import ENTRIES, EXAMPLES, copied, key_of, name_of, served

NOT_YET = "CCX510"  # a part of the language that this version checks and does not act on


@dataclass(frozen=True)
class Ask:
    """A request that must come out by `route` with `status`; `model` is what the upstream is asked for."""

    route: str | None
    protocol: Protocol
    model: str
    status: int = 200
    upstream: str | None = None
    client: str | None = None
    words: int = 1
    attempts: str | None = None


M, C, R, G, I = Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI, Protocol.IMAGES  # noqa: E741  # one letter keeps the table below readable
ASKS: dict[str, list[Ask]] = {
    "quickstart": [
        Ask("failover", M, "failover", upstream="failover", attempts="flaky:503, demo:200"),
        Ask("forbidden", C, "forbidden-fruit", status=403),
        Ask("default", M, "any", upstream="any"),
        Ask("default", C, "any", upstream="any"),
        Ask("default", R, "any", upstream="any"),
        Ask("default", G, "any", upstream="any"),
        Ask("default", I, "any"),
    ],
    "claude-code": [
        Ask("background", M, "claude-haiku-4-5", upstream="claude-haiku-4-5"),
        Ask("claude", M, "claude-opus-5", upstream="claude-opus-5", attempts="anthropic:200"),
        Ask(None, M, "gpt-5", status=404),
    ],
    "canary": [
        Ask("sonnet", M, "claude-sonnet-4-5"),
        Ask("gpt", C, "gpt-5.4", upstream="gpt-5.4"),
        Ask("gpt", R, "gpt-5.4", upstream="gpt-5.4"),
        Ask("nothing-else", M, "claude-opus-5", status=404),
    ],
    "long-context": [
        Ask("long-context", M, "claude-sonnet-5", words=200_000, upstream="google/gemini-2.5-pro"),
        Ask("small-talk", M, "claude-sonnet-5", upstream="deepseek-flash"),
        Ask("default", M, "claude-sonnet-5", words=4_000, upstream="claude-sonnet-5"),
    ],
    "team": [
        Ask("no-images-for-interns", I, "gpt-image-2", client="interns", status=403),
        Ask("research", C, "gpt-5.4", client="nightly", upstream="gpt-5.4"),
        Ask("claude", M, "claude-haiku-4-5", client="interns", upstream="claude-haiku-4-5"),
        Ask("gpt", R, "gpt-5.4", client="core", upstream="gpt-5.4"),
        Ask("images", I, "gpt-image-2", client="core"),
        Ask("@azure", C, "azure/gpt-5.4", client="core", upstream="gpt-5.4"),
        Ask(None, M, "claude-opus-5", client="interns", status=403),
        Ask(None, M, "claude-opus-5", status=401),
    ],
    "split/ccx": [
        Ask("coding", M, "claude-sonnet-5", client="app", upstream="claude-sonnet-5"),
        Ask("default", C, "gpt-5.4", client="app", upstream="gpt-5.4"),
    ],
}


DECISIONS: list[tuple[str, Facts, str | None, list[str]]] = [
    # What an example's comments promise: the route, and the targets with what each is asked for.
    ("quickstart", Facts(M, "failover"), "failover", ["flaky demo-fail-503", "demo failover"]),
    ("quickstart", Facts(G, "gemini-2.5-pro"), "default", ["demo gemini-2.5-pro"]),
    (
        "claude-code",
        Facts(M, "claude-opus-5"),
        "claude",
        ["anthropic claude-opus-5", "openrouter anthropic/claude-opus-5"],
    ),
    ("claude-code", Facts(M, "claude-haiku-4-5"), "background", ["anthropic claude-haiku-4-5"]),
    ("claude-code", Facts(M, "claude-3-7"), "claude", ["anthropic claude-3-7"]),
    ("claude-code", Facts(M, "gpt-5"), None, []),
    (
        "long-context",
        Facts(M, "m", input_tokens=180_001),
        "long-context",
        ["openrouter google/gemini-2.5-pro", "deepseek deepseek-v4-pro"],
    ),
    ("canary", Facts(M, "claude-sonnet-4-5"), "sonnet", ["anthropic claude-sonnet-4-5", "anthropic claude-sonnet-5"]),
    ("canary", Facts(R, "gpt-5.4"), "gpt", ["openai gpt-5.4", "azure gpt-5.4"]),
    ("long-context", Facts(M, "m", input_tokens=180_000), "default", ["anthropic m"]),
    ("long-context", Facts(M, "m", input_tokens=1_999), "small-talk", ["deepseek deepseek-flash", "anthropic m"]),
    ("long-context", Facts(M, "m", input_tokens=2_000), "default", ["anthropic m"]),
    ("long-context", Facts(M, "m", input_tokens=9, tools=True), "default", ["anthropic m"]),
    ("long-context", Facts(M, "m", input_tokens=9, thinking=True), "default", ["anthropic m"]),
    ("split/ccx", Facts(R, "gpt-5.4", client="app"), "default", ["openai gpt-5.4"]),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The demo upstream on a port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(DemoApp(), ws="none", log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()
    assert not thread.is_alive()


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nobody listens: bound, so that nobody else takes it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def loaded(entry: Path) -> Loaded:
    return load(entry, environ={})


def compiled(entry: Path) -> tuple[Spec, Compiled]:
    found = loaded(entry)
    assert found.spec is not None, found.diagnostics
    return found.spec, compile_spec(found.spec, locations=found.locations)


def test_every_example_is_asked() -> None:
    assert {name_of(entry) for entry in ENTRIES} == ASKS.keys()


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_it_is_valid_and_compiles_without_a_finding(entry: Path) -> None:
    found = loaded(entry)
    # Secrets are absent here; team.yaml shows limits, budgets and tests, which this version checks and does not act on.
    expected = {"CCX407", NOT_YET} if name_of(entry) == "team" else {"CCX407"}
    assert {d.code for d in found.diagnostics} <= expected, found.diagnostics
    _, table = compiled(entry)
    assert table.diagnostics == ()


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_its_first_line_names_the_schema_for_editors(file: Path) -> None:
    modeline = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", file.read_text().splitlines()[0])
    assert modeline is not None
    schema = "ccx-test.v1.json" if file.name.endswith(ENDING) else "ccx.v1.json"
    assert (file.parent / modeline[1]).resolve() == EXAMPLES.parents[1] / "schema" / schema


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_every_route_is_asked(entry: Path) -> None:
    spec, _ = compiled(entry)
    asked = {ask.route for ask in ASKS[name_of(entry)]}
    assert {route.name for route in spec.routes} <= asked


@pytest.mark.parametrize(("name", "asked", "route", "targets"), DECISIONS)
def test_it_decides_as_its_comments_say(name: str, asked: Facts, route: str | None, targets: list[str]) -> None:
    _, table = compiled(EXAMPLES / f"{name}.yaml")
    decision = Decider(table.table).decide(asked)
    assert isinstance(decision, Decision)
    assert (decision.route.name if decision.route is not None else None) == route
    choices = [choice for step in decision.steps for choice in step.choices]
    assert [f"{choice.channel.name} {choice.model or asked.model}" for choice in choices] == targets


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_its_own_tests_hold(entry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Every route is tested, every target asked, every step of failover taken; the thresholds of one are shown in full.
    assert main(["test", str(entry), "--coverage"]) == 0, capsys.readouterr().out
    shown = capsys.readouterr().out
    for metric in ("routes", "targets", "failover edges", "boundaries"):
        assert re.search(rf"^  {metric} +(100|-) %", shown, re.MULTILINE), shown
    assert "all proved" in shown


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_it_serves_by_each_of_its_routes(entry: Path, tmp_path: Path, upstream: str) -> None:
    spec = copied(entry, tmp_path, upstream=upstream)
    with served(spec, tmp_path) as url, httpx.Client(base_url=url, timeout=30) as http:
        for ask in ASKS[name_of(entry)]:
            reply = send(http, ask)
            assert reply.status_code == ask.status, (ask, reply.text)
            assert reply.headers.get("x-ccx-route") == ask.route, ask
            if ask.upstream is not None:
                assert ask.upstream in reply.text, ask
            if ask.attempts is not None:
                assert reply.headers["x-ccx-attempts"] == ask.attempts


def test_claude_code_goes_on_with_the_second_provider(tmp_path: Path, upstream: str, dead: str) -> None:
    spec = copied(EXAMPLES / "claude-code.yaml", tmp_path, upstream=upstream, dead={"anthropic": dead})
    with served(spec, tmp_path) as url, httpx.Client(base_url=url, timeout=30) as http:
        reply = send(http, Ask("claude", M, "claude-opus-5"))
        assert reply.status_code == 200
        assert reply.headers["x-ccx-attempts"] == "anthropic:connect, openrouter:200"
        assert "anthropic/claude-opus-5" in reply.text


def send(http: httpx.Client, ask: Ask) -> httpx.Response:
    said = "word " * ask.words
    turn = [{"role": "user", "content": said}]
    body: dict[str, object]
    match ask.protocol:
        case Protocol.MESSAGES:
            path, body = "/v1/messages", {"model": ask.model, "max_tokens": 99, "messages": turn}
        case Protocol.CHAT:
            path, body = "/v1/chat/completions", {"model": ask.model, "messages": turn}
        case Protocol.RESPONSES:
            path, body = "/v1/responses", {"model": ask.model, "input": said}
        case Protocol.GEMINI:
            path = f"/v1beta/models/{ask.model}:generateContent"
            body = {"contents": [{"role": "user", "parts": [{"text": said}]}]}
        case Protocol.IMAGES:
            path, body = "/v1/images/generations", {"model": ask.model, "prompt": said}
        case _:
            raise AssertionError(ask.protocol)
    headers = {"authorization": f"Bearer {key_of(ask.client)}"} if ask.client is not None else {}
    return http.post(path, json=body, headers=headers)
