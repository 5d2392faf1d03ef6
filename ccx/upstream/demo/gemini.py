"""Google Gemini. Sources: https://ai.google.dev/api/generate-content, .../tokens, .../embeddings and .../models."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from ccx.upstream.demo.answer import encode, event
from ccx.upstream.demo.ask import Ask, Choice, Named, Request, Tool, joined, strings
from ccx.upstream.demo.failures import GEMINI, refusal
from ccx.upstream.demo.fields import Json, first, integer, listed, record, records, string, words
from ccx.upstream.demo.script import JSON_TYPE, SSE_TYPE, Script
from ccx.upstream.demo.turn import Finish, Part, Say, Thought, Turn, Use, turn
from ccx.upstream.demo.vector import unit_vector

_FINISH_REASONS = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.TOOL_CALLS: "STOP",
    Finish.REFUSAL: "SAFETY",
}
DIMENSIONS = 3072
MAX_DIMENSIONS = 4096


def generate(request: Request, model: str) -> Script:
    """POST /v1beta/models/{model}:generateContent."""
    ask = read(request.json(), model)
    answer = turn(ask)
    parts = [_part(part, text=part.text) for part in answer.parts]
    body = encode(_reply(ask, request, parts=parts, finish=answer.finish, usage=_usage(answer, answer.output_tokens)))
    return Script(model, ask.text, (body,), blocked=(encode(_blocked(ask, request)),))


def stream(request: Request, model: str) -> Script:
    """POST /v1beta/models/{model}:streamGenerateContent, as events with alt=sse, else as one JSON array."""
    ask = read(request.json(), model)
    replies = list(_replies(ask, turn(ask), request=request))
    if request.query.get("alt") == "sse":
        return Script(
            model,
            ask.text,
            tuple(event(reply) for reply in replies),
            content_type=SSE_TYPE,
            broken=lambda failure, before: event(GEMINI.body(failure)),
            blocked=(event(_blocked(ask, request)),),
        )
    return Script(
        model,
        ask.text,
        (*((b",\n" if index else b"[") + encode(reply) for index, reply in enumerate(replies)), b"]\n"),
        content_type=JSON_TYPE,
        broken=lambda failure, before: (b",\n" if before else b"[") + encode(GEMINI.body(failure)) + b"]\n",
        blocked=(b"[" + encode(_blocked(ask, request)) + b"]\n",),
    )


def count_tokens(request: Request, model: str) -> Script:
    """POST /v1beta/models/{model}:countTokens."""
    body = request.json()
    ask = read(record(first(body, "generateContentRequest", "generate_content_request")) or body, model)
    counted = {"totalTokens": ask.input_tokens, "promptTokensDetails": _modality(ask.input_tokens)}
    return Script(model, ask.text, (encode(counted),))


def embed(request: Request, model: str) -> Script:
    """POST /v1beta/models/{model}:embedContent."""
    text, values = _embedding(request.json(), "EmbedContentRequest")
    return Script(model, text, (encode({"embedding": {"values": values}}),))


def batch_embed(request: Request, model: str) -> Script:
    """POST /v1beta/models/{model}:batchEmbedContents."""
    asked = records(request.json().get("requests"))
    if not asked:
        raise refusal("* BatchEmbedContentsRequest.requests: at least one request is required")
    made = [_embedding(item, f"BatchEmbedContentsRequest.requests[{index}]") for index, item in enumerate(asked)]
    embeddings = [{"values": values} for _, values in made]
    return Script(model, joined([text for text, _ in made]), (encode({"embeddings": embeddings}),))


def _embedding(body: Json, where: str) -> tuple[str, list[float]]:
    content = record(body.get("content"))
    if not records(content.get("parts")):
        raise refusal(f"* {where}.content: contents is not specified")
    config = record(first(body, "embedContentConfig", "embed_content_config"))
    names = ("outputDimensionality", "output_dimensionality")
    wanted = first(body, *names) or first(config, *names) or DIMENSIONS
    size = integer(wanted)
    if size is None or not 1 <= size <= MAX_DIMENSIONS:
        raise refusal(f"* {where}.output_dimensionality: must be from 1 to {MAX_DIMENSIONS}, not {wanted!r}")
    return _text(content), unit_vector(encode(content), size)


def read(body: Json, model: str) -> Ask:
    """Validate a request and take from it what an answer needs. Raises RefusedError."""
    contents = records(body.get("contents"))
    if not contents or len(contents) != len(listed(body.get("contents"))):
        raise refusal("* GenerateContentRequest.contents: contents is not specified")
    for index, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model", "function"):
            raise refusal("Please use a valid role: user, model.")
        if not records(content.get("parts")):
            raise refusal(f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.")
    newest = contents[-1]
    results = [
        record(found)
        for part in records(newest.get("parts"))
        if (found := first(part, "functionResponse", "function_response"))
    ]
    config = record(first(body, "generationConfig", "generation_config"))
    limit = integer(first(config, "maxOutputTokens", "max_output_tokens"))
    if limit is not None and limit < 1:
        raise refusal("* GenerateContentRequest.generation_config.max_output_tokens: must be positive")
    tools, choice = _tools(body)
    thinking = record(first(config, "thinkingConfig", "thinking_config"))
    return Ask(
        model=model,
        messages=len(contents),
        text=_text(newest) if newest.get("role", "user") == "user" else "",
        result=joined([encode(record(result.get("response"))).decode() for result in results]) if results else None,
        input_tokens=words(first(body, "systemInstruction", "system_instruction"), contents, body.get("tools")),
        tools=tools,
        choice=choice,
        thinking=first(thinking, "includeThoughts", "include_thoughts") is True
        and integer(first(thinking, "thinkingBudget", "thinking_budget")) != 0,
        schema=_schema(config),
        limit=limit,
        stop=strings(first(config, "stopSequences", "stop_sequences")),
    )


def _schema(config: Json) -> Json | None:
    names = ("responseJsonSchema", "response_json_schema", "responseSchema", "response_schema")
    if schema := record(first(config, *names)):
        return schema
    kind = first(config, "responseMimeType", "response_mime_type")
    return {"type": "object"} if kind == "application/json" else None


def _tools(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    tools: list[Tool] = []
    for index, group in enumerate(records(body.get("tools"))):
        for item in records(first(group, "functionDeclarations", "function_declarations")):
            if not string(item.get("name")):
                raise refusal(f"* GenerateContentRequest.tools[{index}].function_declarations.name: must not be empty")
            schema = first(item, "parametersJsonSchema", "parameters_json_schema", "parameters")
            tools.append(Tool(string(item["name"]), schema))
    calling = record(
        first(record(first(body, "toolConfig", "tool_config")), "functionCallingConfig", "function_calling_config")
    )
    allowed = strings(first(calling, "allowedFunctionNames", "allowed_function_names"))
    match string(calling.get("mode")).upper():
        case "ANY":
            return tuple(tools), Named(allowed) if allowed else "any"
        case "NONE":
            return tuple(tools), "none"
        case _:
            return tuple(tools), "auto"


def _text(content: Json) -> str:
    return joined([string(part.get("text")) for part in records(content.get("parts"))])


def _signature(text: str) -> str:
    """What stands for the provider's signature: opaque, and the same for the same text."""
    return b64encode(b"ccx-demo" + sha256(text.encode()).digest()).decode()


def _part(part: Part, *, text: str) -> Json:
    match part:
        case Thought():
            return {"text": text, "thought": True}
        case Say():
            return {"text": text}
        case Use():
            call = {"name": part.tool.name, "args": part.arguments}
            return {"functionCall": call, "thoughtSignature": _signature(part.text)}


def _modality(count: int) -> list[Json]:
    return [{"modality": "TEXT", "tokenCount": count}]


def _usage(answer: Turn, output: int) -> Json:
    """Usage after `output` tokens; Gemini counts thoughts beside the candidates, not in them."""
    thoughts = min(answer.thought_tokens, output)
    usage: dict[str, object] = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": output - thoughts,
        "totalTokenCount": answer.input_tokens + output,
        "promptTokensDetails": _modality(answer.input_tokens),
    }
    return {**usage, "thoughtsTokenCount": thoughts} if thoughts else usage


def _reply(ask: Ask, request: Request, *, parts: list[Json], finish: Finish | None, usage: Json) -> Json:
    candidate: dict[str, object] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = _FINISH_REASONS[finish]
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": ask.model,
        "responseId": request.ident(""),
    }


def _blocked(ask: Ask, request: Request) -> Json:
    """A request that the provider does not answer: a 200 without candidates."""
    counted = {"promptTokenCount": ask.input_tokens, "totalTokenCount": ask.input_tokens}
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    return {
        "promptFeedback": feedback,
        "usageMetadata": counted,
        "modelVersion": ask.model,
        "responseId": request.ident(""),
    }


def _replies(ask: Ask, answer: Turn, *, request: Request) -> Iterator[Json]:
    sent = 0
    for part in answer.parts:
        steps = (part.text,) if isinstance(part, Use) else part.pieces
        for piece in steps:
            sent += len(part.pieces) if isinstance(part, Use) else 1
            yield _reply(ask, request, parts=[_part(part, text=piece)], finish=None, usage=_usage(answer, sent))
    yield _reply(ask, request, parts=[{"text": ""}], finish=answer.finish, usage=_usage(answer, sent))


def models(names: tuple[str, ...]) -> Json:
    """GET /v1beta/models."""
    return {"models": [model(name) for name in names]}


def model(name: str) -> Json:
    """GET /v1beta/models/{model}."""
    actions = ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": f"ccx {name}",
        "description": "The demo upstream of ccx",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": actions,
    }
