from __future__ import annotations

import json

import pytest
from anthropic.types import ModelInfo
from openai.types import Model as OpenAIModel

from ccx.errors import ClientError
from ccx.protocols.listing import ModelCard, Shape, asking_protocol, render_list, render_one

CARD = ModelCard("claude-x", "Claude X", 1_700_000_000, "anthropic", 200_000, 64_000)
BARE = ModelCard("openai/gpt:free", "openai/gpt:free", 0, "ccx", None, None)


def cards(count: int) -> list[ModelCard]:
    return [ModelCard(f"m{i}", f"M {i}", i, "x", None, None) for i in range(count)]


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ([], "", "openai"),
        ([(b"authorization", b"Bearer x")], "limit=3", "openai"),
        ([(b"anthropic-version", b"2023-06-01")], "limit=1000", "anthropic"),
        ([(b"Anthropic-Version", b"2023-06-01")], "", "anthropic"),
        ([(b"x-goog-api-key", b"k")], "", "gemini"),
        ([(b"x-goog-api-client", b"genai"), (b"anthropic-version", b"1")], "", "gemini"),
        ([], "key=abc", "gemini"),
        ([], "client_version=0.169.0", "codex"),
        ([(b"anthropic-version", b"1")], "client_version=1", "anthropic"),
    ],
)
def test_who_asks(headers: list[tuple[bytes, bytes]], query: str, expected: Shape) -> None:
    assert asking_protocol(headers, query) == expected


def test_anthropic() -> None:
    found = json.loads(render_list("anthropic", [CARD, BARE]))
    assert found["data"][0] == {
        "type": "model",
        "id": "claude-x",
        "display_name": "Claude X",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
    assert found["data"][1]["created_at"] == "1970-01-01T00:00:00Z"
    assert (found["has_more"], found["first_id"], found["last_id"]) == (False, "claude-x", "openai/gpt:free")
    assert json.loads(render_one("anthropic", CARD)) == found["data"][0]
    assert ModelInfo.model_validate(found["data"][1]).id == BARE.id


def test_openai() -> None:
    found = json.loads(render_list("openai", [CARD, BARE], query="limit=1&limit=x"))
    assert found == {
        "object": "list",
        "data": [
            {"id": "claude-x", "object": "model", "created": 1_700_000_000, "owned_by": "anthropic"},
            {"id": "openai/gpt:free", "object": "model", "created": 0, "owned_by": "ccx"},
        ],
    }
    assert OpenAIModel.model_validate_json(render_one("openai", CARD), strict=True).owned_by == "anthropic"


def test_gemini() -> None:
    found = json.loads(render_list("gemini", [CARD, BARE]))
    assert found["models"][0]["name"] == "models/claude-x"
    assert found["models"][0]["inputTokenLimit"] == 200_000
    assert found["models"][0]["outputTokenLimit"] == 64_000
    assert "streamGenerateContent" in found["models"][0]["supportedGenerationMethods"]
    assert "inputTokenLimit" not in found["models"][1]
    assert "nextPageToken" not in found
    tuned = ModelCard("tunedModels/t", "t", 0, "g", None, None)
    assert json.loads(render_one("gemini", tuned))["name"] == "tunedModels/t"


def test_codex_keeps_its_own_descriptions() -> None:
    assert json.loads(render_list("codex", [CARD])) == {"models": []}
    assert json.loads(render_one("codex", CARD))["id"] == "claude-x"


def test_empty_lists() -> None:
    assert json.loads(render_list("anthropic", [])) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
    assert json.loads(render_list("gemini", [])) == {"models": []}


@pytest.mark.parametrize("limit", [1, 2, 7, 20, 45, 1000])
def test_pages_of_anthropic_make_the_list(limit: int) -> None:
    everything = cards(45)
    found: list[str] = []
    query = f"limit={limit}"
    while True:
        page = json.loads(render_list("anthropic", everything, query=query))
        found += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            break
        query = f"limit={limit}&after_id={page['last_id']}"
    assert found == [card.id for card in everything]
    back = json.loads(render_list("anthropic", everything, query="limit=2&before_id=m3"))
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (["m1", "m2"], True)
    assert not json.loads(render_list("anthropic", everything, query="limit=5&before_id=m3"))["has_more"]


@pytest.mark.parametrize("size", [1, 10, 44, 45, 5000])
def test_pages_of_gemini_make_the_list(size: int) -> None:
    found: list[str] = []
    token = ""
    while True:
        query = f"pageSize={size}" + (f"&pageToken={token}" if token else "")
        page = json.loads(render_list("gemini", cards(45), query=query))
        found += [model["name"] for model in page["models"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert found == [f"models/m{i}" for i in range(45)]


@pytest.mark.parametrize(
    ("shape", "query", "message"),
    [
        ("anthropic", "limit=0", "limit must be a whole number from 1 to 1000, not '0'"),
        ("anthropic", "limit=1001", "from 1 to 1000"),
        ("anthropic", "limit=-1", "from 1 to 1000"),
        ("anthropic", "limit=x", "from 1 to 1000"),
        ("anthropic", "limit=" + "9" * 5000, "from 1 to 1000"),
        ("anthropic", "after_id=nope", "no model 'nope'"),
        ("anthropic", "after_id=m1&before_id=m2", "cannot be combined"),
        ("gemini", "pageSize=0", "of at least 1"),
        ("gemini", "pageToken=x", "pageToken must be a whole number"),
    ],
)
def test_impossible_pages(shape: Shape, query: str, message: str) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        render_list(shape, cards(3), query=query)
    assert caught.value.status == 400
