"""The digest of everything that decides an answer, against a naive notion of sameness."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.protocols.body import open_body
from ccx.protocols.endpoints import Endpoint, resolve
from ccx.protocols.names import Protocol
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.decide import Decision
from ccx.routing.facts import Facts
from ccx.routing.table import Cache, Route
from ccx.runtime.admission import Inbound
from ccx.runtime.identity import LARGE, SMALL, Digests, Identity, Treatments, identity
from ccx.runtime.live import Live, prepare
from ccx.runtime.understand import Request
from ccx.spec.validate import load
from ccx.telemetry.exchange import Exchange

SPEC = """
version: ccx/v1
channels:
  a: {provider: demo}
  b: {provider: demo, headers: {set: {x-team: core}}}
routes:
  - {name: r, when: {model: "one*"}, to: [a], cache: {ttl: 1h}}
  - {name: both, to: [{balance: weighted, targets: [a, b]}], cache: {ttl: 1h}}
"""
PATHS = {Protocol.MESSAGES: "/v1/messages", Protocol.CHAT: "/v1/chat/completions", Protocol.RESPONSES: "/v1/responses"}
CACHE = Cache(1000, "client")


def made(folder: Path, text: str = SPEC) -> Live:
    path = folder / "ccx.yaml"
    path.write_text(text)
    loaded = load(path, environ={})
    assert loaded.spec is not None, loaded.diagnostics
    compiled = compile_spec(loaded.spec)
    assert isinstance(compiled, Compiled), compiled
    return prepare(compiled.table, compiled.digest, folder=folder, environ={})


def request(
    live: Live,
    raw: bytes,
    *,
    protocol: Protocol = Protocol.MESSAGES,
    headers: list[tuple[bytes, bytes]] | None = None,
    path: str | None = None,
) -> Request:
    endpoint = resolve("POST", path or PATHS[protocol], prefixes=())
    assert isinstance(endpoint, Endpoint)
    body = open_body(raw)
    stream = endpoint.stream if endpoint.stream is not None else body.stream
    facts = Facts(endpoint.protocol, endpoint.model or body.model, endpoint.operation, stream=stream)
    exchange = Exchange(at=0.0, request_id="r", protocol=protocol.value, operation="generate", digest=live.digest)
    return Request(live, endpoint, Inbound({}, headers or []), None, body, facts, exchange)


def decided(one: Request) -> tuple[Decision, Route]:
    decision = one.live.decider.decide(one.facts)
    assert isinstance(decision, Decision)
    assert decision.route is not None
    return decision, decision.route


def of(
    one: Request, *, cache: Cache = CACHE, client: str = "", query: bytes = b"", digests: Digests | None = None
) -> Identity | None:
    treated = Treatments().digest(one, *decided(one))
    return asyncio.run(identity(one, treated, cache, digests=digests or Digests(), client=client, query=query))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(["messages", "system", "tools", "max_tokens", "thinking"]), VALUES)


def shuffled(value: Any, *, turn: bool) -> Any:
    if isinstance(value, dict):
        items = [(name, shuffled(one, turn=turn)) for name, one in value.items()]
        return dict(reversed(items) if turn else items)
    return [shuffled(one, turn=turn) for one in value] if isinstance(value, list) else value


@settings(max_examples=150, deadline=None)
@given(one=BODIES, other=BODIES, indent=st.sampled_from([None, 2]), ascii_=st.booleans())
def test_equal_bodies_are_one_question_and_others_are_not(
    tmp_path_factory: pytest.TempPathFactory,
    one: dict[str, Any],
    other: dict[str, Any],
    indent: int | None,
    ascii_: bool,
) -> None:
    live = _live(tmp_path_factory)

    def told(fields: dict[str, Any], **how: Any) -> Identity | None:
        text = json.dumps({"model": "one", **fields}, **how)
        return of(request(live, text.encode("utf-8", "surrogatepass")))

    plain = told(one)
    assert plain is not None
    assert told(shuffled(one, turn=True), indent=indent, ensure_ascii=ascii_) == plain
    same = json.dumps(shuffled(one, turn=False), sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (told(other) == plain) is same


_LIVE: list[Live] = []


def _live(factory: pytest.TempPathFactory) -> Live:
    if not _LIVE:
        _LIVE.append(made(factory.mktemp("identity")))
    return _LIVE[0]


@pytest.fixture
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    return _live(tmp_path_factory)


ONE = b'{"model":"one","messages":[]}'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"one","messages":[],"messages":[1]}',
        b'{"model":"one","messages":[{"a":1,"b":{"c":1,"c":1}}]}',
        b'{"model":"one","messages":[{"a":":","a":"{"}]}',
        b'{"model":"one","a\\\\":1,"a\\\\":2,"x":":b"}',
        b'{"model":"one","a" \t\r\n:{"b":[{"c\\"":1,"c\\"":1}]}}',
        b'{"model":"one","system":"\\ud800"}',
        b'{"model":"one","temperature":1e999}',
    ],
)
def test_what_two_parsers_may_read_in_two_ways_has_no_identity(live: Live, raw: bytes) -> None:
    assert of(request(live, raw)) is None


def test_colons_and_quotes_in_text_are_no_members(live: Live) -> None:
    raw = b'{"model":"one","messages":["a:b\\":\\\\",":",{"x:y":"\\u0022:"}]}'
    assert of(request(live, raw)) is not None


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ([(b"user-agent", b"x/1"), (b"x-stainless-os", b"Linux"), (b"x-claude-code-session-id", b"s")], True),
        ([(b"traceparent", b"00-1"), (b"session_id", b"s"), (b"cache-control", b"max-age=9")], True),
        ([(b"anthropic-beta", b"b")], False),
        ([(b"openai-beta", b"b")], False),
        ([(b"x-own", b"b")], False),
    ],
)
def test_headers_count_unless_they_mean_nothing(live: Live, headers: list[tuple[bytes, bytes]], *, same: bool) -> None:
    assert (of(request(live, ONE, headers=headers)) == of(request(live, ONE))) is same


def test_the_order_of_headers_does_not_count_their_borders_do(live: Live) -> None:
    a, b = (b"x-a", b"1"), (b"x-b", b"2")
    assert of(request(live, ONE, headers=[a, b])) == of(request(live, ONE, headers=[b, a]))
    assert of(request(live, ONE, headers=[(b"x-a", b"1x")])) != of(request(live, ONE, headers=[(b"x-a1", b"x")]))


def test_scopes_are_apart_whatever_a_client_is_called(live: Live) -> None:
    one = request(live, ONE)
    shared = Cache(1000, "shared")
    found = [of(one, client=name) for name in ("", "a", "b", "*", "=")] + [of(one, cache=shared, client="a")]
    assert len(set(found)) == len(found)
    assert of(one, cache=shared, client="a") == of(one, cache=shared, client="b")


def test_who_the_end_user_is_does_not_count_unless_the_answer_repeats_it(live: Live) -> None:
    def one(protocol: Protocol, field: str, value: object) -> Identity | None:
        return of(request(live, json.dumps({"model": "one", field: value}).encode(), protocol=protocol))

    assert one(Protocol.MESSAGES, "metadata", {"user_id": "a"}) == one(Protocol.MESSAGES, "metadata", {"user_id": "b"})
    assert one(Protocol.CHAT, "user", "a") == one(Protocol.CHAT, "user", "b")
    assert one(Protocol.RESPONSES, "user", "a") != one(Protocol.RESPONSES, "user", "b")


def test_the_form_is_apart_and_forms_know_each_other(live: Live) -> None:
    def chat(**fields: object) -> Identity:
        raw = json.dumps({"model": "one", "messages": [], **fields}).encode()
        found = of(request(live, raw, protocol=Protocol.CHAT))
        assert found is not None
        return found

    whole, plain = chat(), chat(stream=True)
    full = chat(stream=True, stream_options={"include_usage": True})
    assert len({whole.own, plain.own, full.own}) == 3
    assert whole.others == (full.own,)
    assert full.others == plain.others == (whole.own,)
    assert chat(stream=True, stream_options={"include_obfuscation": False}).others == ()


def test_geminis_forms_are_of_its_path_and_query(live: Live) -> None:
    raw = b'{"contents":[]}'
    path = "/v1beta/models/one:"
    whole = of(request(live, raw, protocol=Protocol.GEMINI, path=path + "generateContent"), query=b"key=k")
    events, array = (
        of(request(live, raw, protocol=Protocol.GEMINI, path=path + "streamGenerateContent"), query=query)
        for query in (b"alt=sse&key=other", b"")
    )
    assert whole is not None
    assert events is not None
    assert array is not None
    assert whole.others == (events.own,)
    assert events.others == (whole.own,)
    assert array.others == ()
    model = of(request(live, raw, protocol=Protocol.GEMINI, path="/v1beta/models/one-more:generateContent"))
    assert model is not None
    assert model.own != whole.own


def test_what_is_done_on_the_way_counts_and_who_answers_when_does_not(tmp_path: Path) -> None:
    def treated(text: str, model: bytes = b"two") -> bytes:
        one = request(made(tmp_path, text), b'{"model":"%s"}' % model)
        return Treatments().digest(one, *decided(one))

    before = treated(SPEC)
    for same in (
        SPEC.replace("targets: [a, b]", "targets: [{channel: b, weight: 3}, a]"),
        SPEC.replace("cache: {ttl: 1h}", "cache: {ttl: 2h}"),
        SPEC.replace("{provider: demo}", "{provider: demo, limits: {requests: 5/s}, timeouts: {total: 9s}}"),
        SPEC.replace('when: {model: "one*"}', 'when: {model: "three*"}'),
    ):
        assert treated(same) == before
    for other in (
        SPEC.replace("targets: [a, b]", "targets: [a]"),
        SPEC.replace("targets: [a, b]", "targets: [a, {channel: b, model: x}]"),
        SPEC.replace("x-team: core", "x-team: edge"),
        SPEC.replace("name: both", "name: other"),
        SPEC.replace("name: both", "name: both, request: {default: {temperature: 0}}"),
        SPEC.replace("name: both", "name: both, on_loss: reject"),
        SPEC + "models: {two: {max_output_tokens: 5}}",
    ):
        assert treated(other) != before
    assert treated(SPEC, b"one") != before


def test_treatments_are_kept_per_table_and_kind_and_bounded(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccx.runtime.identity.TREATMENTS_KEPT", 2)
    treatments = Treatments()
    found: dict[bytes, set[bytes]] = {}
    for model in (b"two", b"three", b"four", b"two"):
        one = request(live, b'{"model":"%s"}' % model)
        found.setdefault(model, set()).add(treatments.digest(one, *decided(one)))
    assert all(len(digests) == 1 for digests in found.values())
    assert len(set.union(*found.values())) == 3
    changed = request(replace(live, digest="other"), b'{"model":"two"}')
    assert treatments.digest(changed, *decided(changed)) in found[b"two"]


@pytest.mark.parametrize("size", [SMALL, 200_000, LARGE])
def test_a_large_body_is_digested_alike_beside_the_loop_and_kept_by_its_bytes(live: Live, size: int) -> None:
    text, digests = "x" * size, Digests()
    raw = json.dumps({"model": "one", "messages": [text]}).encode()
    turned = json.dumps({"messages": [text], "model": "one"}, indent=1).encode()
    found = {of(request(live, one), digests=digests) for one in (raw, turned, raw, turned)}
    assert len(found) == 1
    assert None not in found
    twice = raw[:-1] + b',"model":"one"}'
    assert [of(request(live, twice), digests=digests) for _ in range(2)] == [None, None]
    chat = of(request(live, raw, protocol=Protocol.CHAT), digests=digests)
    assert chat not in found


def test_kept_digests_are_bounded(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccx.runtime.identity.DIGESTS_KEPT", 2)
    digests = Digests()
    for number in range(5):
        raw = json.dumps({"model": "one", "messages": ["x" * SMALL, number]}).encode()
        assert of(request(live, raw), digests=digests) is not None
    assert len(digests._kept) == 2
