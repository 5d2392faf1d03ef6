from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.endpoints import (
    GEMINI_ACTIONS,
    Endpoint,
    MethodNotAllowed,
    ModelsRequest,
    NoSuchEndpoint,
    StoredRequest,
    UpgradeRefused,
    gemini_path,
    resolve,
)
from ccx.protocols.names import Operation, Protocol

FIXED = [
    ("/messages", Protocol.MESSAGES, Operation.GENERATE),
    ("/messages/count_tokens", Protocol.MESSAGES, Operation.COUNT_TOKENS),
    ("/chat/completions", Protocol.CHAT, Operation.GENERATE),
    ("/responses", Protocol.RESPONSES, Operation.GENERATE),
    ("/responses/compact", Protocol.RESPONSES, Operation.COMPACT),
    ("/responses/input_tokens", Protocol.RESPONSES, Operation.COUNT_TOKENS),
    ("/images/generations", Protocol.IMAGES, Operation.GENERATE),
    ("/images/edits", Protocol.IMAGES, Operation.EDIT),
    ("/images/variations", Protocol.IMAGES, Operation.VARIATION),
    ("/embeddings", Protocol.EMBEDDINGS, Operation.EMBED),
]


@pytest.mark.parametrize(("path", "protocol", "operation"), FIXED)
@pytest.mark.parametrize("version", ["", "/v1", "/v1/v1", "/v1beta"])
@pytest.mark.parametrize("prefix", [None, "team"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_fixed_paths(
    path: str, protocol: Protocol, operation: Operation, version: str, prefix: str | None, slash: str
) -> None:
    asked = (f"/{prefix}" if prefix else "") + version + path + slash
    assert resolve("POST", asked, prefixes={"team"}) == Endpoint(protocol, operation, None, None, prefix, path)


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta", "/v1alpha", "/v1/v1beta"])
@pytest.mark.parametrize("action", GEMINI_ACTIONS)
def test_gemini_actions(version: str, action: str) -> None:
    operation, stream = GEMINI_ACTIONS[action]
    found = resolve("POST", f"{version}/models/gemini-2.5-pro:{action}", prefixes=())
    assert found == Endpoint(Protocol.GEMINI, operation, "gemini-2.5-pro", stream, None, action)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/anthropic/claude-x:generateContent", "anthropic/claude-x"),
        ("/v1beta/models/anthropic%2Fclaude-x:generateContent", "anthropic/claude-x"),
        ("/v1beta/models/qwen3:8b:generateContent", "qwen3:8b"),
        ("/v1beta/models/a%20b%3AgenerateContent", "a b"),
        ("/v1beta/models/models/g:generateContent", "models/g"),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine"),
        ("/p/v1beta/models/g:generateContent", "g"),
    ],
)
def test_gemini_model_names(path: str, model: str) -> None:
    found = resolve("POST", path, prefixes={"p"})
    assert isinstance(found, Endpoint)
    assert found.model == model


@given(st.lists(st.text('ab:%/ é?#[]{}\\"\x01😀-_.', min_size=1), min_size=1).map("/".join))
def test_gemini_path_comes_back(model: str) -> None:
    try:
        path = gemini_path(model, "countTokens")
    except ValueError:
        assert {"", ".", ".."} & set(model.split("/"))
        return
    assert path.isascii()
    assert path.isprintable()
    assert not set(path) & set(' ?#"\\')
    found = resolve("POST", "/v1beta" + path, prefixes=())
    assert isinstance(found, Endpoint)
    assert found.model == model


def test_gemini_path_keeps_a_collection() -> None:
    assert gemini_path("gemini-x", "embedContent") == "/models/gemini-x:embedContent"
    assert gemini_path("models/gemini-x", "embedContent") == "/models/gemini-x:embedContent"
    assert gemini_path("tunedModels/t", "embedContent") == "/tunedModels/t:embedContent"


@pytest.mark.parametrize("model", ["", "..", "../files", "a/../../b", "a//b", "./a", "a/"])
def test_a_model_cannot_leave_its_path(model: str) -> None:
    with pytest.raises(ValueError, match="cannot be a model name"):
        gemini_path(model, "generateContent")
    found = resolve("POST", f"/v1beta/models/{model}:generateContent", prefixes=())
    assert isinstance(found, NoSuchEndpoint)


def test_an_encoded_climb_is_refused_too() -> None:
    assert isinstance(resolve("POST", "/v1/models/%2e%2e%2Ffiles:generateContent", prefixes=()), NoSuchEndpoint)
    assert isinstance(resolve("GET", "/v1/models/%2e%2e/files", prefixes=()), NoSuchEndpoint)


@pytest.mark.parametrize("action", ["generatecontent", "predict", "", "streamGenerateContent2"])
def test_an_unknown_action_is_no_other(action: str) -> None:
    found = resolve("POST", f"/v1beta/models/g:{action}", prefixes=())
    assert isinstance(found, NoSuchEndpoint)
    assert found.legal == tuple(GEMINI_ACTIONS)
    assert "streamGenerateContent" in found.message
    assert repr(action) in found.message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models", ModelsRequest(None, None)),
        ("/models/", ModelsRequest(None, None)),
        ("/v1beta/models", ModelsRequest(None, None)),
        ("/p/v1/models", ModelsRequest(None, "p")),
        ("/v1/models/openai/gpt-x:free", ModelsRequest("openai/gpt-x:free", None)),
        ("/v1beta/models/gemini-x", ModelsRequest("gemini-x", None)),
        ("/models/qwen3:8b", ModelsRequest("qwen3:8b", None)),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_models(path: str, expected: ModelsRequest, method: str) -> None:
    assert resolve(method, path, prefixes={"p"}) == expected


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/messages", ("POST",)),
        ("GET", "/v1/chat/completions", ("POST",)),
        ("DELETE", "/v1/models", ("GET",)),
        ("POST", "/v1/models/gpt", ("GET",)),
        ("GET", "/v1beta/models/g:generateContent", ("POST",)),
        ("GET", "/v1/responses/compact", ("POST",)),
        ("DELETE", "/v1/responses/input_tokens", ("POST",)),
        ("POST", "/v1/responses/resp_1", ("GET", "DELETE")),
        ("DELETE", "/v1/responses/resp_1/input_items", ("GET",)),
    ],
)
def test_other_methods(method: str, path: str, allow: tuple[str, ...]) -> None:
    found = resolve(method, path, prefixes=())
    assert found == MethodNotAllowed(path, method, allow)
    assert isinstance(found, MethodNotAllowed)
    assert allow[0] in found.message


def test_websocket_attempts_are_named() -> None:
    assert resolve("GET", "/v1/responses", prefixes=()) == UpgradeRefused(None)
    assert resolve("GET", "/p/responses", prefixes={"p"}) == UpgradeRefused("p")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/responses/resp_1", StoredRequest("resp_1", "response", None)),
        ("GET", "/responses/resp_1/", StoredRequest("resp_1", "response", None)),
        ("DELETE", "/v1/v1/responses/resp_1", StoredRequest("resp_1", "delete", None)),
        ("GET", "/p/v1/responses/resp%5F1/input_items", StoredRequest("resp_1", "input_items", "p")),
    ],
)
def test_stored_responses(method: str, path: str, expected: StoredRequest) -> None:
    assert resolve(method, path, prefixes={"p"}) == expected


@pytest.mark.parametrize(
    "path", ["/v1/responses/r/cancel", "/v1/responses/r/input_items/i", "/v1/responses//input_items"]
)
def test_nothing_else_is_below_a_response(path: str) -> None:
    assert isinstance(resolve("GET", path, prefixes=()), NoSuchEndpoint)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v2/messages", "/v1/v1/v1/messages", "/x/v1/messages", "messages"])
def test_nothing_else_is_served(path: str) -> None:
    found = resolve("POST", path, prefixes={"team"})
    assert isinstance(found, NoSuchEndpoint)
    assert "/v1/messages" in found.legal


@given(st.text(), st.sampled_from(["GET", "POST", "HEAD", "PATCH"]))
def test_total(path: str, method: str) -> None:
    resolve(method, path, prefixes={"p"})
