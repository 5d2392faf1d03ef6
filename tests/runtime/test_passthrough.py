"""Same protocol in and out: bytes for bytes, but for the model and what the spec declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccx.errors import ClientError
from ccx.protocols.body import open_body
from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.streams import MESSAGE, STREAM, Pieces


def spec(url: str, *, more: str = "") -> str:
    return f"""
    version: ccx/v1
    channels:
      up:
        protocol: messages
        base_url: {url}
        keys: {{env: UP_KEY}}
        models: {{"claude-*": upstream-model, "*": null}}
    routes:
      - name: all
        to: [up]
    {more}
    """


KEY = {"UP_KEY": "sk-secret-upstream-key"}


async def test_request_and_answer(tmp_path: Path) -> None:
    reply = Reply(200, headers={"content-type": "application/json", "request-id": "req_up", "x-a": "b"}, body=MESSAGE)
    async with FaultUpstream([reply]) as up, running(spec(up.url), tmp_path, environ=KEY) as gw:
        body = (
            b'{ "model" : "claude-x",  "max_tokens":5, "messages":[ {"role":"user","content":"\\u00e9"} ], "n":1.50 }'
        )
        answer = await gw.client.post(
            "/v1/messages?beta=true",
            content=body,
            headers={"x-api-key": "clients-own", "anthropic-beta": "a,b", "cookie": "c=1", "x-custom": "kept"},
        )
        assert answer.content == MESSAGE
        assert answer.headers["request-id"] == "req_up"
        assert answer.headers["x-a"] == "b"
        assert answer.headers["x-ccx-route"] == "all"
        assert answer.headers["x-ccx-channel"] == "up"
        assert answer.headers["x-ccx-attempts"] == "up:200"
        assert answer.headers["x-ccx-digest"] == gw.gateway.live.digest[:12]
        sent = up.requests[0]
        assert sent.target == "/v1/messages?beta=true"
        assert sent.body == body.replace(b'"claude-x"', b'"upstream-model"')
        assert sent.header("x-api-key") == KEY["UP_KEY"]
        assert sent.header("anthropic-beta") == "a,b"
        assert sent.header("anthropic-version") == "2023-06-01"
        assert sent.header("x-custom") == "kept"
        assert sent.header("cookie") is None
        assert sent.header("accept-encoding") == "identity"
        exchange = await gw.exchange()
        assert (exchange.input_tokens, exchange.cache_read_tokens, exchange.output_tokens) == (10, 3, 2)
        assert (exchange.model_asked, exchange.model_sent, exchange.finish) == (
            "claude-x",
            "upstream-model",
            "end_turn",
        )
        assert exchange.status == 200
        assert KEY["UP_KEY"] not in repr(exchange)


@pytest.mark.parametrize("pieces", [None, 1, 7], ids=["events", "bytes", "sevens"])
async def test_stream(tmp_path: Path, pieces: int | None) -> None:
    whole = b"".join(STREAM)
    events = STREAM if pieces is None else [whole[i : i + pieces] for i in range(0, len(whole), pieces)]
    async with FaultUpstream([Pieces(events)]) as up, running(spec(up.url), tmp_path, environ=KEY) as gw:
        answer = await gw.client.post("/v1/messages", json={"model": "m", "stream": True, "messages": []})
        assert answer.content == whole
        assert answer.headers["content-type"].startswith("text/event-stream")
        exchange = await gw.exchange()
        assert (exchange.input_tokens, exchange.output_tokens, exchange.finish) == (7, 5, "end_turn")
        assert exchange.stream


async def test_declared_policies(tmp_path: Path) -> None:
    more = """
        request:
          cap: {max_output_tokens: 10}
          default: {temperature: 0.2}
          set: {service_tier: auto}
          drop: [metadata]
    """
    reply = Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)
    async with FaultUpstream([reply]) as up, running(spec(up.url, more=more), tmp_path, environ=KEY) as gw:
        await gw.client.post(
            "/v1/messages",
            json={"model": "m", "max_tokens": 500, "metadata": {"user_id": "u"}, "messages": [], "top_k": 3},
        )
        assert json.loads(up.requests[0].body) == {
            "model": "m",
            "max_tokens": 10,
            "messages": [],
            "top_k": 3,
            "temperature": 0.2,
            "service_tier": "auto",
        }


async def test_large_answer_is_streamed_through(tmp_path: Path) -> None:
    big = b'{"data":"' + b"x" * (3 * 2**20) + b'"}'
    reply = Reply(200, headers={"content-type": "application/json"}, body=big)
    async with FaultUpstream([reply]) as up, running(spec(up.url), tmp_path, environ=KEY) as gw:
        answer = await gw.client.post("/v1/messages", json={"model": "m", "messages": []})
        assert answer.content == big


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=5), st.text(min_size=1, max_size=12), st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_only_the_model_changes(fields: dict[str, object], model: str, spaced: bool) -> None:
    before = {**fields, "model": "old", "tail": [1, {"model": "old"}]}
    before.pop("stream", None)
    raw = json.dumps(before, indent=2 if spaced else None, ensure_ascii=spaced).encode("utf-8", "surrogatepass")
    try:
        body = open_body(raw)
    except ClientError:
        return  # a lone surrogate in a key is not text
    after = json.loads(b"".join(body.with_model(model)))
    assert after == {**before, "model": model}
