"""The declared system prompt, on what is passed through and on what is converted."""

from __future__ import annotations

from pathlib import Path

from ccx.spec.validate import load
from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.chats import asked, said
from tests.runtime.streams import MESSAGE


def spec(url: str, system: str) -> str:
    return f"""
    version: ccx/v1
    channels:
      messages: {{protocol: messages, base_url: {url}, keys: none}}
      chat: {{protocol: chat, base_url: {url}, keys: none}}
    defaults: {{request: {{system: {system}}}}}
    routes:
      - {{name: same, when: {{model: same-*}}, to: [messages]}}
      - {{name: other, to: [chat]}}
    """


async def test_passed_through_with_every_other_byte_as_it_came(tmp_path: Path) -> None:
    reply = Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)
    async with FaultUpstream([reply]) as up, running(spec(up.url, '{prefix: "Be \\"kind\\"."}'), tmp_path) as gw:
        body = (
            b'{ "system" : "You \\u00e9" , "model":"same-1","max_tokens" : 5,'
            b'"messages":[ {"role":"user","content":"\\ud83d"}]}'
        )
        assert (await gw.client.post("/v1/messages", content=body)).status_code == 200
        assert up.requests[0].body == body.replace(b'"You ', b'"Be \\"kind\\".\\n\\nYou ')


async def test_converted(tmp_path: Path) -> None:
    async with FaultUpstream([said("Hi.")]) as up, running(spec(up.url, "{replace: Be kind.}"), tmp_path) as gw:
        body = {"model": "m", "max_tokens": 5, "system": "Be cruel.", "messages": [{"role": "user", "content": "a"}]}
        assert (await gw.client.post("/v1/messages", json=body)).status_code == 200
        assert asked(up.requests[0]) == [("system", "Be kind."), ("user", "a")]
        assert (await gw.client.post("/v1/responses", json={"model": "m", "input": "a"})).status_code == 200
        assert asked(up.requests[1]) == [("system", "Be kind."), ("user", "a")]


def test_it_is_no_longer_without_effect(tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text("version: ccx/v1\nchannels: {demo: {provider: demo}}\ndefaults: {request: {system: {prefix: p}}}\n")
    assert [one.code for one in load(path).diagnostics] == []
