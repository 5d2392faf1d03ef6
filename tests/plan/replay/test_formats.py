"""What each kind of log says of a request, and what happens to lines that say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json as fast

from ccx.errors import UsageError
from ccx.plan.replay import ccx_log, csv_log, litellm_log
from ccx.plan.replay.files import open_log
from ccx.plan.replay.formats import opened
from ccx.plan.replay.logged import UNCOUNTABLE, Request, Row, Unreadable
from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.telemetry.lines import Clock, json_line
from tests.plan.replay.logs import OLD, claude, line, table
from tests.telemetry.records import exchange

ASKING = table(
    {
        "name": "all",
        "when": {
            "input_tokens": "> 60k",
            "tools": True,
            "server_tools": "web_*",
            "thinking": True,
            "images": True,
            "header": {"x-tier": "gold", "x-none": "a"},
            "body": {"a.b": "c"},
        },
        "to": ["lab"],
    },
)


def test_a_line_of_ccx_says_all_that_was_decided_on() -> None:
    facts = Facts(
        Protocol.CHAT,
        "gpt-5",
        tokens_at_most=70_000,
        stream=True,
        tools=True,
        server_tools=frozenset({"web_search"}),
        client="team-a",
        tags={"team": "core"},
        headers={"x-tier": "gold"},
        prefix="lab",
        body={"a.b": 3},
    )
    assert ccx_log.read(line(ASKING, facts, route="all")) == Row(
        Request(
            "chat",
            "gpt-5",
            "team-a",
            named=True,
            tags=b'{"team":"core"}',
            prefix="lab",
            route="all",
            stream=True,
            tools=True,
            thinking=False,
            images=False,
            server_tools=b'["web_search"]',
            headers=b'{"x-none":null,"x-tier":"gold"}',
            body=b'{"a.b":3}',
        ),
        None,
        70_000,
        100,
        20,
        7,
        3,
    )


def test_a_line_of_ccx_says_nothing_of_what_was_not_asked() -> None:
    row = ccx_log.read(line(OLD, claude(None, tokens_at_most=500)))
    assert (row.counted, row.at_most) == (None, 500)
    assert (row.request.tools, row.request.headers, row.request.server_tools) == (None, None, None)
    assert ccx_log.read(line(OLD, claude(90))).counted == 90
    assert ccx_log.read(line(OLD, claude(None))).counted == UNCOUNTABLE
    assert ccx_log.read(line(OLD, Facts(Protocol.CHAT, "gpt-5"))).counted is None


def test_a_line_of_an_older_ccx_has_no_facts() -> None:
    old = json.loads(json_line(exchange(counted_tokens=None), Clock()))
    del old["facts"]
    row = ccx_log.read(json.dumps(old).encode())
    assert (row.counted, row.at_most, row.prompt, row.request.tools) == (None, None, 100, None)


def test_impossible_usage_is_none() -> None:
    assert ccx_log.read(line(OLD, claude(1), input_tokens=5, cache_read_tokens=9)).prompt is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (json_line(exchange(model_asked=None, route=None), Clock()), "refused before it was routed"),
        (json_line(exchange(protocol="telepathy"), Clock()), "a protocol that this ccx does not know"),
        (json_line(exchange(model_asked="m" * 300), Clock()), "the model's name is cut off in the log"),
        (b'{"protocol":"chat"}', "not a line of ccx's request log"),
        (
            b'{"protocol":"chat","model":"m","stream":true,"tokens":{"in":-1}}',
            "not a line of ccx's request log",
        ),
        (b"[" * 100_000, "not a line of ccx's request log"),
        (b'{"protocol":' + b"[" * 100_000, "not a line of ccx's request log"),
        (b'{"x":' * 100_000, "not JSON"),
        (b"hello", "not JSON"),
        (b"", "not JSON"),
        (b'{"protocol":"\xff"}', "not UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lines_that_are_no_requests_are_of_few_kinds(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        ccx_log.read(data)
    assert str(refused.value) == why


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "protocol",
                        "model",
                        "stream",
                        "tokens",
                        "in",
                        "facts",
                        "tags",
                        "call_type",
                        "metadata",
                        "prompt_tokens",
                        "usage_object",
                        "model_parameters",
                        "tools",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_line_does_worse_than_being_unreadable(data: bytes) -> None:
    for read in (ccx_log.read, litellm_log.read, csv_log.reader(b"protocol,model,count")):
        try:
            row = read(data)
        except Unreadable:
            continue
        assert isinstance(row, Row)


LITELLM: dict[str, Any] = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "hash",
    "spend": 0.1,
    "prompt_tokens": 1200,
    "completion_tokens": 30,
    "model": "claude-sonnet-4-5-20250929",
    "model_group": "claude-sonnet-4-5",
    "user": "u1",
    "metadata": {
        "user_api_key_alias": "team-a",
        "usage_object": {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 100},
    },
}


def litellm(**changes: Any) -> Row:
    return litellm_log.read(json.dumps(LITELLM | changes).encode())


def test_a_line_of_litellm() -> None:
    assert litellm() == Row(Request("chat", "claude-sonnet-4-5", "team-a", named=True), None, None, 1200, 30, 1000, 100)


def test_metadata_may_be_a_text() -> None:
    assert litellm(metadata=json.dumps(LITELLM["metadata"])) == litellm()
    assert litellm(metadata="") == litellm(metadata=None)


@pytest.mark.parametrize(
    ("call", "protocol"),
    [
        ("completion", "chat"),
        ("atext_completion", "chat"),
        ("anthropic_messages", "messages"),
        ("aresponses", "responses"),
        ("agenerate_content", "gemini"),
        ("image_generation", "images"),
        ("aembedding", "embeddings"),
    ],
)
def test_kinds_of_calls(call: str, protocol: str) -> None:
    assert litellm(call_type=call).request.protocol == protocol


def test_what_litellm_says_and_does_not_say() -> None:
    assert litellm(metadata={}).request.client == "u1"
    assert litellm(metadata=None, user="", end_user=None).request.named is False
    assert litellm(model_group=None).request.model == "claude-sonnet-4-5-20250929"
    assert litellm(stream=True).request.stream is True
    assert litellm(call_type="agenerate_content_stream").request.stream is True
    assert litellm(model_parameters={"tools": [{"type": "function"}]}).request.tools is True
    assert litellm(model_parameters={"temperature": 1}).request.tools is False
    assert litellm(prompt_tokens=0).prompt is None
    assert litellm(prompt_tokens="1200").prompt == 1200
    assert litellm(metadata={"usage_object": {"prompt_tokens_details": {"cached_tokens": 7}}}).cache_read == 7
    assert litellm(prompt_tokens=500).prompt is None  # fewer than its cached parts


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"call_type": "atranscription"}, "a kind of call that ccx does not route"),
        ({"call_type": ""}, "a kind of call that ccx does not route"),
        ({"model": "", "model_group": ""}, "no model"),
        ({"prompt_tokens": "many"}, "not a line of LiteLLM's log"),
        ({"metadata": [1]}, "not a line of LiteLLM's log"),
        ({"metadata": "{"}, "not JSON"),
    ],
)
def test_lines_of_litellm_that_are_no_requests(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        litellm(**changes)
    assert str(refused.value) == why


def test_a_row_of_csv() -> None:
    read = csv_log.reader(
        b"\xef\xbb\xbfProtocol, model,input_tokens,output_tokens,client,stream,tools,server_tools,thinking,images,"
        b"prefix,cached_tokens,status,count\r"
    )
    assert read(b'chat,"gpt-5",1200,30,team-a,true,no,web_search bash,1,,lab,1000,200,4\r') == Row(
        Request(
            "chat",
            "gpt-5",
            "team-a",
            named=True,
            prefix="lab",
            stream=True,
            tools=False,
            thinking=True,
            images=None,
            server_tools=b'["web_search","bash"]',
        ),
        1200,
        None,
        1200,
        30,
        1000,
        0,
        4,
    )
    assert read(b"chat,gpt-5,,,,,,,,,,,,") == Row(Request("chat", "gpt-5"))
    none = read(b"images,,,,-,,,-,,,-,,,0")
    assert (none.request.client, none.request.named, none.request.model, none.count) == (None, True, None, 0)
    assert fast.decode(none.request.server_tools or b"") == []


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"model,client", "has no column 'protocol'"),
        (b"protocol,model,colour", "has a column 'colour'"),
        (b"protocol,model,model", "has a column twice"),
        (b"\xff", "has no column 'protocol'"),
        (b'"protocol', "has no column 'protocol'"),
    ],
)
def test_a_header_that_means_nothing_is_refused(header: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        csv_log.reader(header)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"chat,gpt-5", "another number of cells than the header"),
        (b"chat,gpt-5,1,2,x,", "another number of cells than the header"),
        (b"chat,gpt-5,many,,", "a count that is no number"),
        (b"chat,gpt-5,-1,,", "a count that is no number"),
        ("chat,gpt-5,²,,".encode(), "a count that is no number"),
        (b"chat,gpt-5,5,maybe,", "a yes-or-no that is neither true nor false"),
        (b"chat,gpt-5,5,,6", "more cached tokens than tokens"),
        (b"smoke,gpt-5,5,,", "a protocol that this ccx does not know"),
        (b"chat,\xff,5,,", "not UTF-8, or quoted in a way that is not CSV"),
        (b'chat,"gpt-5,5,,', "not UTF-8, or quoted in a way that is not CSV"),
        (b"chat," + b"m" * 5000 + b",5,,", "a cell of more than 4096 characters"),
        (b'chat,"' + b"m" * 500_000 + b'",5,,', "not UTF-8, or quoted in a way that is not CSV"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_are_no_requests(row: bytes, why: str) -> None:
    read = csv_log.reader(b"protocol,model,input_tokens,stream,cached_tokens")
    with pytest.raises(Unreadable) as refused:
        read(row)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (json_line(exchange(), Clock()), "ccx"),
        (b"noise\n\n" + json_line(exchange(), Clock()), "ccx"),
        (json_line(exchange(model_asked=None, route=None), Clock()), "ccx"),
        (json.dumps(LITELLM).encode(), "litellm"),
        (json.dumps([LITELLM], indent=1).encode(), "litellm"),
        (b"\n\xef\xbb\xbfmodel,protocol\n", "csv"),
        (b"", "ccx"),
        (b" \n", "ccx"),
    ],
)
def test_a_format_is_told_by_its_lines(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    with open_log(str(path)) as log:
        assert opened(log, None).format == found


def test_a_format_that_nobody_knows_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"127.0.0.1 - - [10/Oct/2030] GET /\n{}\n")
    with open_log(str(path)) as log, pytest.raises(UsageError, match="no format that ccx knows"):
        opened(log, None)
