"""Features of answers, each with the smallest whole answer of every protocol that has it.

Sources: https://platform.claude.com/docs/en/api/messages, https://platform.openai.com/docs/api-reference/chat/object,
https://platform.openai.com/docs/api-reference/responses/object, https://ai.google.dev/api/generate-content; thoughts
in Chat as DeepSeek and OpenRouter write them, https://openrouter.ai/docs/guides/best-practices/reasoning-tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccx.protocols.features import Answered, Returned
from ccx.protocols.features.plain import C, G, M, R
from ccx.protocols.ir import Json, JsonObject
from ccx.protocols.names import Protocol

WITNESS: Final = "c2VhbGVkIGJ5IHRoZSBwcm92aWRlcg=="
_PAGE: Final = "https://example.com/page"
_BERN: Final[JsonObject] = {"city": "Bern"}


def _message(*content: JsonObject, **fields: Json) -> JsonObject:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "model",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **fields,
    }


def _completion(message: JsonObject, *, finish: str = "stop", **fields: Json) -> JsonObject:
    choice: JsonObject = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": finish,
    }
    if "logprobs" in fields:
        choice["logprobs"] = fields.pop("logprobs")
    return {
        "id": "chatcmpl-01",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "model",
        "choices": [choice],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **fields,
    }


def _response(*output: JsonObject, **fields: Json) -> JsonObject:
    return {
        "id": "resp_01",
        "object": "response",
        "created_at": 1_767_225_600,
        "status": "completed",
        "model": "model",
        "output": list(output),
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        **fields,
    }


def _item(*content: JsonObject) -> JsonObject:
    return {"type": "message", "id": "msg_01", "role": "assistant", "status": "completed", "content": list(content)}


def _words(text: str, **fields: Json) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], **fields}


def _generated(*parts: JsonObject, finish: str = "STOP", **fields: Json) -> JsonObject:
    candidate: JsonObject = {
        "index": 0,
        "content": {"role": "model", "parts": list(parts)},
        "finishReason": finish,
    }
    candidate.update(fields)
    return {
        "candidates": [candidate],
        "modelVersion": "model",
        "responseId": "r01",
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    }


def _called(number: int, **fields: Json) -> dict[Protocol, JsonObject]:
    """A call of a function, as each protocol writes it."""
    name, city = f"tool_{number}", _BERN
    return {
        M: {"type": "tool_use", "id": f"toolu_0{number}", "name": name, "input": city},
        C: {"id": f"call_0{number}", "type": "function", "function": {"name": name, "arguments": '{"city":"Bern"}'}},
        R: {
            "type": "function_call",
            "id": f"fc_0{number}",
            "call_id": f"call_0{number}",
            "name": name,
            "arguments": '{"city":"Bern"}',
            "status": "completed",
        },
        G: {"functionCall": {"name": name, "args": city}, **fields},
    }


_ONE, _TWO = _called(1), _called(2)
_THOUGHT: Final = "They greet me."
_HELLO: Final = "Hello!"


def _rows() -> Iterator[tuple[str, str, str, dict[Protocol, JsonObject]]]:
    """Id, title, names of losses, samples."""
    say: JsonObject = {"type": "text", "text": _HELLO}
    yield (
        "answer",
        "text",
        "",
        {
            M: _message(say),
            C: _completion({"content": _HELLO}),
            R: _response(_item(_words(_HELLO))),
            G: _generated({"text": _HELLO}),
        },
    )
    yield (
        "thought",
        "thoughts",
        "reasoning",
        {
            M: _message({"type": "thinking", "thinking": _THOUGHT, "signature": WITNESS}, say),
            C: _completion({"content": _HELLO, "reasoning_content": _THOUGHT}),
            R: _response(
                {"type": "reasoning", "id": "rs_01", "summary": [{"type": "summary_text", "text": _THOUGHT}]},
                _item(_words(_HELLO)),
            ),
            G: _generated({"text": _THOUGHT, "thought": True}, {"text": _HELLO}),
        },
    )
    yield (
        "calls",
        "parallel calls, words before them",
        "parallel_tool_calls part_order",
        {
            M: _message(say, _ONE[M], _TWO[M], stop_reason="tool_use"),
            C: _completion({"content": _HELLO, "tool_calls": [_ONE[C], _TWO[C]]}, finish="tool_calls"),
            R: _response(_item(_words(_HELLO)), _ONE[R], _TWO[R]),
            G: _generated({"text": _HELLO}, _ONE[G], _TWO[G]),
        },
    )
    yield (
        "words_after",
        "words after a call, in order",
        "part_order",
        {
            M: _message(_ONE[M], say, stop_reason="tool_use"),
            R: _response(_ONE[R], _item(_words(_HELLO))),
            G: _generated(_ONE[G], {"text": _HELLO}),
        },
    )
    query: JsonObject = {"query": "weather"}
    yield (
        "searched",
        "web search that was made",
        "server_tool",
        {
            M: _message(
                {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": query},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_01",
                    "content": [
                        {
                            "type": "web_search_result",
                            "url": _PAGE,
                            "title": "Page",
                            "encrypted_content": WITNESS,
                        }
                    ],
                },
                say,
            ),
            R: _response(
                {
                    "type": "web_search_call",
                    "id": "ws_01",
                    "status": "completed",
                    "action": {"type": "search", "query": "weather"},
                },
                _item(_words(_HELLO)),
            ),
        },
    )
    web: JsonObject = {"url": _PAGE, "title": "Page", "start_index": 0, "end_index": 6}
    yield (
        "citations",
        "citations",
        "citations",
        {
            M: _message(
                {
                    **say,
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "url": _PAGE,
                            "title": "Page",
                            "cited_text": "Hello",
                            "encrypted_index": WITNESS,
                        }
                    ],
                }
            ),
            C: _completion(
                {"content": _HELLO, "annotations": [{"type": "url_citation", "url_citation": dict(web)}]},
            ),
            R: _response(_item(_words(_HELLO, annotations=[{"type": "url_citation", **web}]))),
            G: _generated(
                {"text": _HELLO},
                groundingMetadata={
                    "groundingChunks": [{"web": {"uri": _PAGE, "title": "Page"}}],
                    "groundingSupports": [
                        {
                            "segment": {"startIndex": 0, "endIndex": 6, "text": _HELLO},
                            "groundingChunkIndices": [0],
                        }
                    ],
                },
            ),
        },
    )
    sorry = "I cannot help with that."
    yield (
        "refusal",
        "refusal",
        "refusal finish_reason",
        {
            M: _message({"type": "text", "text": sorry}, stop_reason="refusal"),
            C: _completion({"refusal": sorry}),
            R: _response(_item({"type": "refusal", "refusal": sorry})),
        },
    )
    yield (
        "blocked",
        "blocked by a filter",
        "finish_reason",
        {
            C: _completion({"content": "Hel"}, finish="content_filter"),
            R: _response(_item(_words("Hel")), status="incomplete", incomplete_details={"reason": "content_filter"}),
            G: _generated({"text": "Hel"}, finish="SAFETY"),
        },
    )
    yield (
        "length",
        "ended by the length limit",
        "finish_reason",
        {
            M: _message(say, stop_reason="max_tokens"),
            C: _completion({"content": _HELLO}, finish="length"),
            R: _response(
                _item(_words(_HELLO)), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
            ),
            G: _generated({"text": _HELLO}, finish="MAX_TOKENS"),
        },
    )
    yield (
        "stopped",
        "ended by a stop sequence, and which",
        "stop_sequence finish_reason",
        {M: _message(say, stop_reason="stop_sequence", stop_sequence="END")},
    )
    yield (
        "usage",
        "usage, with cache reads and thinking",
        "usage",
        {
            M: _message(
                say,
                usage={
                    "input_tokens": 10,
                    "cache_read_input_tokens": 90,
                    "output_tokens": 5,
                    "output_tokens_details": {"thinking_tokens": 3},
                },
            ),
            C: _completion(
                {"content": _HELLO},
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 5,
                    "total_tokens": 105,
                    "prompt_tokens_details": {"cached_tokens": 90},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
            ),
            R: _response(
                _item(_words(_HELLO)),
                usage={
                    "input_tokens": 100,
                    "input_tokens_details": {"cached_tokens": 90},
                    "output_tokens": 5,
                    "output_tokens_details": {"reasoning_tokens": 3},
                    "total_tokens": 105,
                },
            ),
            G: {
                **_generated({"text": _HELLO}),
                "usageMetadata": {
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 90,
                    "candidatesTokenCount": 2,
                    "thoughtsTokenCount": 3,
                    "totalTokenCount": 105,
                },
            },
        },
    )
    token: JsonObject = {"token": _HELLO, "logprob": -0.5, "bytes": None, "top_logprobs": []}
    yield (
        "answer_logprobs",
        "probabilities of tokens",
        "logprobs",
        {
            C: _completion({"content": _HELLO}, logprobs={"content": [token], "refusal": None}),
            R: _response(_item(_words(_HELLO, logprobs=[token]))),
            G: _generated(
                {"text": _HELLO},
                logprobsResult={"chosenCandidates": [{"token": _HELLO, "tokenId": 1, "logProbability": -0.5}]},
            ),
        },
    )
    picture: JsonObject = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    yield "picture", "an image", "image", {G: _generated({"text": _HELLO}, picture)}


ANSWERED: Final = tuple(
    Answered(id_, title, "answer", samples, frozenset(losses.split())) for id_, title, losses, samples in _rows()
)

_SEALED: Final[JsonObject] = {"type": "thinking", "thinking": _THOUGHT, "signature": WITNESS}

RETURNED: Final = (
    Returned(
        "thought_back",
        "sealed thoughts, before an answer",
        "back on the next turn",
        {
            M: _message(_SEALED, {"type": "text", "text": _HELLO}),
            R: _response(
                {
                    "type": "reasoning",
                    "id": "rs_01",
                    "summary": [{"type": "summary_text", "text": _THOUGHT}],
                    "encrypted_content": WITNESS,
                },
                _item(_words(_HELLO)),
            ),
            G: _generated({"text": _HELLO, "thoughtSignature": WITNESS}),
        },
        frozenset({"signature", "reasoning"}),
    ),
    Returned(
        "thought_back_call",
        "sealed thoughts, before a call",
        "back on the next turn",
        {
            M: _message(_SEALED, _ONE[M], stop_reason="tool_use"),
            C: _completion(
                {
                    "tool_calls": [_ONE[C]],
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": WITNESS, "index": 0}],
                },
                finish="tool_calls",
            ),
            R: _response(
                {"type": "reasoning", "id": "rs_01", "summary": [], "encrypted_content": WITNESS},
                _ONE[R],
            ),
            G: _generated(_called(1, thoughtSignature=WITNESS)[G]),
        },
        frozenset({"signature", "reasoning"}),
        vendors={C: "openrouter"},
    ),
    Returned(
        "redacted_back",
        "redacted thoughts",
        "back on the next turn",
        {M: _message({"type": "redacted_thinking", "data": WITNESS}, {"type": "text", "text": _HELLO})},
        frozenset({"signature", "reasoning"}),
    ),
    Returned(
        "search_back",
        "results of a web search",
        "back on the next turn",
        {
            M: _message(
                {
                    "type": "server_tool_use",
                    "id": "srvtoolu_01",
                    "name": "web_search",
                    "input": {"query": "weather"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_01",
                    "content": [
                        {"type": "web_search_result", "url": _PAGE, "title": "Page", "encrypted_content": WITNESS}
                    ],
                },
                {"type": "text", "text": _HELLO},
            )
        },
        frozenset({"server_tool"}),
    ),
)
