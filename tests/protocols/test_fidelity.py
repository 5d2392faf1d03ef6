"""The matrix tells what the codecs do: each cell has an oracle of its own, and each loss a row that explains it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ccx.cli.main import app
from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.cache_control import breakpoints
from ccx.protocols.codec import Asked as Asker
from ccx.protocols.codec import Context
from ccx.protocols.conversion import CODECS
from ccx.protocols.features import MINOR, Answered, Asked, Returned
from ccx.protocols.features.answered import WITNESS
from ccx.protocols.features.plain import PLAIN
from ccx.protocols.fidelity import FEATURES, PROTOCOLS, REFERENCE, UNKNOWN, Verdict, matrix
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event as SseEvent
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import Assembler, events

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [(client, upstream) for client in PROTOCOLS for upstream in PROTOCOLS if client is not upstream]
BY_ID = {feature.id: feature for feature in FEATURES}
MATRIX = matrix()


def new_id(prefix: str) -> str:
    return prefix + "0" * 20


def ids(value: object) -> str:
    return getattr(value, "id", str(value))


# --- the table --------------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_every_protocol_can_say_something() -> None:
    assert len(BY_ID) == len(FEATURES)
    for protocol in PROTOCOLS:
        for kind in (Asked, Answered, Returned):
            assert any(protocol in feature.samples for feature in FEATURES if isinstance(feature, kind))


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_a_plain_request_loses_nothing(client: Protocol, upstream: Protocol) -> None:
    request = CODECS[client].decode_request(PLAIN[client], model="model", stream=False)
    assert CODECS[upstream].encode_request(request, REFERENCE[upstream], new_id=new_id).losses == ()


@pytest.mark.parametrize("feature", FEATURES, ids=ids)
def test_same_protocol_and_no_words(feature: Any) -> None:
    for client in PROTOCOLS:
        for upstream in PROTOCOLS:
            speaker = client if isinstance(feature, Asked) else upstream
            verdict = MATRIX[feature.id, client, upstream].verdict
            assert (verdict is Verdict.UNSAYABLE) == (speaker not in feature.samples)
            assert (verdict is Verdict.SAME) == (client is upstream and speaker in feature.samples)


@pytest.mark.parametrize("feature", FEATURES, ids=ids)
def test_each_loss_of_a_sample_is_explained(feature: Any) -> None:
    others = {name for other in FEATURES for name in other.losses}
    for client, upstream in PAIRS:
        for name in MATRIX[feature.id, client, upstream].names:
            assert name in feature.losses or name in others or name in MINOR or name.startswith(UNKNOWN)


def test_samples_are_read_and_never_changed() -> None:
    before = json.dumps([[dict(f.samples) for f in FEATURES], dict(PLAIN)], default=str)
    matrix()
    assert json.dumps([[dict(f.samples) for f in FEATURES], dict(PLAIN)], default=str) == before


# --- kept means kept: what the upstream's protocol reads in it is what the client's protocol had said -----------------


def words(request: ir.Request, role: str) -> list[str]:
    return [p.text for m in request.messages if m.role == role for p in m.parts if isinstance(p, ir.Text)]


def media(request: ir.Request) -> list[object]:
    return [
        (part.kind, part.source if not isinstance(part.source, ir.Inline) else part.source.data)
        for message in request.messages
        for part in message.parts
        if isinstance(part, ir.Media)
    ]


def results(request: ir.Request) -> list[ir.ToolResult]:
    return [p for m in request.messages for p in m.parts if isinstance(p, ir.ToolResult)]


def told(result: ir.ToolResult) -> str:
    """What a result says. Gemini's are objects, in which plain text is the field `output`, or `error`."""
    text = "".join(part.text for part in result.content if isinstance(part, ir.Text))
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("output", found.get("error"))) if isinstance(found, dict) else text


def functions(request: ir.Request) -> list[object]:
    return [
        (tool.name, tool.description, None if tool.kind == "custom" else tool.schema)
        for tool in request.tools
        if isinstance(tool, ir.Tool)
    ]


def thinks(request: ir.Request) -> object:
    return request.thinking.enabled is not False


ASPECTS: dict[str, Callable[[ir.Request], object]] = {
    "system": lambda r: words(r, "system"),
    "system_later": lambda r: (words(r, "system")[-1], r.messages[0].role),
    "cache_control": lambda r: [cache for _, _, cache in breakpoints(r)],
    "image": media,
    "image_url": lambda r: [getattr(source, "url", source) for _, source in media(r)],  # type: ignore[misc]  # pairs
    "file_id": media,
    "pdf": media,
    "audio": media,
    "video": media,
    "tools": functions,
    "strict": lambda r: [tool.strict for tool in r.tools if isinstance(tool, ir.Tool)],
    "choice_required": lambda r: r.tool_choice and (r.tool_choice.mode, r.tool_choice.names),
    "choice_none": lambda r: r.tool_choice and r.tool_choice.mode,
    "choice_one": lambda r: r.tool_choice and (r.tool_choice.mode, r.tool_choice.names),
    "choice_some": lambda r: r.tool_choice and (r.tool_choice.mode, r.tool_choice.names),
    "one_call": lambda r: r.parallel_tool_calls,
    "result": lambda r: [told(result) for result in results(r)],
    "result_image": lambda r: [
        part.source.data
        for result in results(r)
        for part in result.content
        if isinstance(part, ir.Media) and isinstance(part.source, ir.Inline)
    ],
    "result_error": lambda r: [(result.is_error, told(result)) for result in results(r)],
    "custom": lambda r: [tool.name for tool in r.tools if isinstance(tool, ir.Tool)],
    "grammar": lambda r: [(tool.name, tool.grammar) for tool in r.tools if isinstance(tool, ir.Tool)],
    "namespaces": lambda r: [getattr(tool, "namespace", None) for tool in r.tools],
    "web_search": lambda r: [tool.name for tool in r.tools if isinstance(tool, ir.ServerTool)],
    "budget": lambda r: r.thinking.budget,
    "effort": lambda r: r.thinking.effort,
    "adaptive": thinks,
    "off": thinks,
    "summary": thinks,
    "json_schema": lambda r: r.output and (r.output.kind, (r.output.schema or {}).get("required")),
    "json": lambda r: r.output and r.output.kind,
    "verbosity": lambda r: r.verbosity,
    "max_tokens": lambda r: r.max_output_tokens,
    "stop": lambda r: r.sampling.stop,
    "candidates": lambda r: r.sampling.candidates,
    "logprobs": lambda r: r.sampling.logprobs,
    "temperature": lambda r: r.sampling.temperature,
    "top_p": lambda r: r.sampling.top_p,
    "top_k": lambda r: r.sampling.top_k,
    "seed": lambda r: r.sampling.seed,
    "penalties": lambda r: (r.sampling.presence_penalty, r.sampling.frequency_penalty),
    "logit_bias": lambda r: None,
    "user": lambda r: r.user,
    "metadata": lambda r: dict(r.metadata),
    "service_tier": lambda r: r.service_tier,
    "safety_settings": lambda r: None,
    "context_management": lambda r: None,
}
"""What of a request a feature is. None stands for what only one protocol can say, which cannot be kept."""


@pytest.mark.parametrize("feature", [f for f in FEATURES if isinstance(f, Asked)], ids=ids)
def test_kept_of_a_request_is_read_again(feature: Asked) -> None:
    aspect = ASPECTS[feature.id]
    for client, upstream in PAIRS:
        if MATRIX[feature.id, client, upstream].verdict is not Verdict.KEPT:
            continue
        request = CODECS[client].decode_request(feature.samples[client], model="model", stream=False)
        target = REFERENCE[upstream]
        payload = CODECS[upstream].encode_request(request, target, new_id=new_id).payload
        again = CODECS[upstream].decode_request(json.loads(json.dumps(payload)), model=target.model, stream=False)
        assert aspect(request) is not None, (client, feature.id)
        assert aspect(again) == aspect(request), (client, upstream)


def parts(response: ir.Response) -> list[object]:
    """What an answer says, in order, without residue. Ids may be new."""
    found: list[object] = []
    for part in response.parts:
        match part:
            case ir.Reasoning(text=""):
                pass  # an envelope, for ccx alone to open
            case ir.Text() | ir.Refusal() | ir.Reasoning():
                found.append((type(part), part.text))
            case ir.ToolCall():
                found.append((part.name, json.loads(part.arguments), part.kind))
            case ir.Media(kind, ir.Inline(data)):
                found.append((kind, data))
            case _:
                found.append(type(part))
    return found


def asker(client: Protocol, *, stream: bool) -> Asker:
    body: ir.JsonObject = {**PLAIN[client], "stream": stream}
    if client is Protocol.CHAT and stream:
        body["stream_options"] = {"include_usage": True}
    return Asker("model", body, stream, 1_767_225_600)


def streamed(response: ir.Response, client: Protocol) -> ir.Response:
    """An answer as a stream to a client, read again by the decoder of its protocol."""
    encoder = CODECS[client].stream_encoder(asker(client, stream=True), new_id=new_id)
    decoder = CODECS[client].stream_decoder(Context("reader", "model"))
    sse, assembler = SseDecoder(), Assembler()
    for event in events(response):
        for heard in sse.feed(encoder.encode(event)):
            for neutral in decoder.feed(heard):
                assembler.feed(neutral)
    for neutral in decoder.end():
        assembler.feed(neutral)
    assert assembler.response is not None
    return assembler.response


@pytest.mark.parametrize("feature", [f for f in FEATURES if isinstance(f, Answered)], ids=ids)
def test_kept_of_an_answer_is_read_again(feature: Answered) -> None:
    for client, upstream in PAIRS:
        if MATRIX[feature.id, client, upstream].verdict is not Verdict.KEPT:
            continue
        target = REFERENCE[upstream]
        response = CODECS[upstream].decode_response(feature.samples[upstream], Context(target.issuer, "model"))
        shown = CODECS[client].encode_response(response, asker(client, stream=False), new_id=new_id).payload
        whole = CODECS[client].decode_response(json.loads(json.dumps(shown)), Context("reader", "model"))
        for again in (whole, streamed(response, client)):
            assert parts(again) == parts(response), (client, upstream)
            assert again.finish.reason == response.finish.reason or feature.id == "blocked"
            for name in ("input_tokens", "output_tokens"):
                assert getattr(again.usage, name) == getattr(response.usage, name)
            if feature.id == "usage":
                assert again.usage.cache_read_tokens == response.usage.cache_read_tokens == 90
                assert again.usage.reasoning_tokens == response.usage.reasoning_tokens == 3
            if feature.id == "citations":
                cited = [c.url for part in again.parts if isinstance(part, ir.Text) for c in part.citations]
                assert cited == ["https://example.com/page"]


def test_what_is_sealed_is_named_if_it_does_not_return() -> None:
    for feature in FEATURES:
        if isinstance(feature, Returned):
            for sample in feature.samples.values():
                assert WITNESS in json.dumps(sample)
            for client, upstream in PAIRS:
                found = MATRIX[feature.id, client, upstream]
                if found.verdict is Verdict.DROPPED:
                    assert set(found.names) & feature.losses


# --- every name of a loss has its place -------------------------------------------------------------------------------


def emitted() -> Iterator[tuple[str, str]]:
    """Names of losses that the codecs' sources can emit, with the file: what is written where a `Loss` is made, what a
    variable of that name is given beside it, and the tables that name residue."""
    for path in sorted((ROOT / "ccx/protocols").rglob("*.py")):
        if "features" in path.parts:
            continue
        where = str(path.relative_to(ROOT))
        tree = ast.parse(path.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Loss"]
            for call in calls:
                yield from ((where, name) for name in constants(call.args[1]))
            variables = {call.args[1].id for call in calls if isinstance(call.args[1], ast.Name)}
            for target, value in assigned(function):
                if target in variables:
                    yield from ((where, name) for name in constants(value))
                if calls and target == "unknown" and isinstance(value, ast.Tuple):
                    rows = [row for row in value.elts if isinstance(row, ast.Tuple)]
                    yield from ((where, name) for row in rows for name in constants(row.elts[1]))
        for target, value in assigned(tree):
            if target in TABLES:
                found = value.values if isinstance(value, ast.Dict) else getattr(value, "args", [])
                yield from ((where, name) for one in found for name in constants(one))


TABLES = {"_WHAT", "_OWN_WHAT", "_SIGNATURES", "_FEATURE", "_NAMED", "_PLAIN"}


def assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node.value


def constants(node: ast.AST) -> Iterator[str]:
    """The strings that an expression can be; of one that is put together, its beginning."""
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(str(text)), *_]):
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from constants(body)
            yield from constants(other)
        case ast.Subscript(value=ast.Dict(values=values)) | ast.BoolOp(values=values) | ast.Set(elts=values):
            for value in values:
                yield from constants(value)
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, default]):
            yield from constants(default)


def test_every_loss_the_codecs_can_emit_is_explained() -> None:
    explained = {name for feature in FEATURES for name in feature.losses} | MINOR.keys()
    found = set(emitted())
    names = {name for _, name in found}
    assert len(names) > 40
    missing = {(where, name) for where, name in found if name not in explained and not name.startswith(UNKNOWN)}
    assert not missing


def test_minor_losses_exist() -> None:
    names = {name for _, name in emitted()}
    assert MINOR.keys() <= names


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["fidelity", *arguments])


@pytest.mark.parametrize("arguments", [(), ("messages",), ("gemini", "chat"), ("responses",)])
def test_text_fits_a_terminal(arguments: tuple[str, ...]) -> None:
    shown = run(*arguments)
    assert shown.exit_code == 0
    assert all(len(line) <= 100 for line in shown.stdout.splitlines())
    for feature in FEATURES:
        assert feature.title in shown.stdout


def test_json_has_every_cell() -> None:
    records = json.loads(run("--output", "json").stdout)
    assert len(records) == len(FEATURES) * 16
    one = next(r for r in records if (r["feature"], r["client"], r["upstream"]) == ("top_k", "messages", "chat"))
    assert one["verdict"] == "dropped"
    assert one["losses"] == [{"what": "top_k", "approximate": False, "path": "sampling.top_k", "detail": None}]
    alone = json.loads(run("--output", "json", "messages", "chat").stdout)
    assert alone == [r for r in records if (r["client"], r["upstream"]) == ("messages", "chat")]


def test_markdown_is_one_table() -> None:
    lines = [line for line in run("--output", "markdown").stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "| top_k | = ○ ○ ● | – – – – | – – – – | ● ○ ○ = |" in lines


def test_signs_of_a_terminal_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccx.cli.fidelity._has_signs", lambda: False)
    shown = run("messages").stdout
    assert shown.isascii()
    assert re.search(r"^top_k +         = x x \+", shown, re.MULTILINE)


def test_unknown_protocol() -> None:
    assert run("images").exit_code == 2


# --- whatever a client or an upstream sends ---------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just([[]]),
    st.just([{}]),
    st.just({"type": "nonsense"}),
    st.just({"type": 7, "text": []}),
)


def places(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values inside."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


@st.composite
def damaged(draw: st.DrawFn, samples: list[ir.JsonObject]) -> Any:
    """A sample with some of its values replaced by junk, by another value of it, or left out."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from(samples))))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(places(body))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        holder = body
        for step in way:
            holder = holder[step]
        action = draw(st.sampled_from(["junk", "leave out", "other", "twice"]))
        if action == "leave out":
            del holder[last]
        elif action == "twice" and isinstance(holder, list):
            holder.append(json.loads(json.dumps(holder[last])))
        elif action == "other":
            other: Any = body
            for step in draw(st.sampled_from(paths)):
                other = other[step] if isinstance(other, dict) and step in other else other
            holder[last] = json.loads(json.dumps(other))
        else:
            holder[last] = json.loads(json.dumps(draw(JUNK)))
    return body


def samples_of(protocol: Protocol, kind: type) -> list[ir.JsonObject]:
    return [f.samples[protocol] for f in FEATURES if isinstance(f, kind) and protocol in f.samples]


FUZZ = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("client", PROTOCOLS)
@given(data=st.data())
@FUZZ
def test_damaged_requests(client: Protocol, data: st.DataObject) -> None:
    body = data.draw(damaged(samples_of(client, Asked)))
    try:
        request = CODECS[client].decode_request(body, model="model", stream=False)
    except ClientError:
        return
    for upstream in PROTOCOLS:
        try:
            encoded = CODECS[upstream].encode_request(request, REFERENCE[upstream], new_id=new_id)
        except ClientError:
            continue
        json.dumps(encoded.payload)


@pytest.mark.parametrize("upstream", PROTOCOLS)
@given(data=st.data())
@FUZZ
def test_damaged_answers(upstream: Protocol, data: st.DataObject) -> None:
    samples = samples_of(upstream, Answered) + samples_of(upstream, Returned)
    body = data.draw(damaged(samples))
    try:
        response = CODECS[upstream].decode_response(body, Context(REFERENCE[upstream].issuer, "model"))
    except BadReply:
        return
    for client in PROTOCOLS:
        json.dumps(CODECS[client].encode_response(response, asker(client, stream=False), new_id=new_id).payload)
        encoder = CODECS[client].stream_encoder(asker(client, stream=True), new_id=new_id)
        for event in events(response):
            encoder.encode(event)


@pytest.mark.parametrize("upstream", PROTOCOLS)
@given(data=st.data())
@FUZZ
def test_damaged_streams(upstream: Protocol, data: st.DataObject) -> None:
    """Streams of this protocol, written by its own encoder and then damaged, an event at a time."""
    sample = data.draw(st.sampled_from(samples_of(upstream, Answered)))
    response = CODECS[upstream].decode_response(sample, Context(REFERENCE[upstream].issuer, "model"))
    encoder = CODECS[upstream].stream_encoder(asker(upstream, stream=True), new_id=new_id)
    sse = SseDecoder()
    heard = [one for event in events(response) for one in sse.feed(encoder.encode(event))]
    at = data.draw(st.integers(0, len(heard) - 1))
    body = heard[at].data
    if body.startswith(b"{"):
        body = json.dumps(data.draw(damaged([json.loads(body)]))).encode()
    heard[at : at + 1] = [SseEvent(heard[at].event, body)] * data.draw(st.integers(0, 2))
    decoder, assembler = CODECS[upstream].stream_decoder(Context("issuer", "model")), Assembler()
    try:
        for event_ in heard:
            for neutral in decoder.feed(event_):
                assembler.feed(neutral)
        for neutral in decoder.end():
            assembler.feed(neutral)
    except BadReply:
        return
    assert assembler.response is not None or assembler.failed is not None
