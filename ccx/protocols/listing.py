"""Lists of models in the shape of whoever asks.

Law: one path is asked by four kinds of clients, told apart by what they send; each gets the shape, the paging and the
names of its own provider, made from the same cards.

Codex describes a model with the system prompt it runs it on, which a gateway does not have; its own descriptions
stand when the list is empty, so it gets an empty one.

Sources: https://docs.anthropic.com/en/api/models-list, https://platform.openai.com/docs/api-reference/models/list,
https://ai.google.dev/api/models, and for Codex the protocol types of https://github.com/openai/codex
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, assert_never
from urllib.parse import parse_qs

import msgspec

from ccx.errors import ClientError

Shape = Literal["anthropic", "openai", "gemini", "codex"]

_encode = msgspec.json.Encoder().encode

_GEMINI_METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model that can be asked for. `created` is in seconds since 1970, 0 when unknown; limits are in tokens."""

    id: str
    display_name: str
    created: int
    owned_by: str
    context_window: int | None
    max_output_tokens: int | None


def asking_protocol(headers: Iterable[tuple[bytes, bytes]], query: str) -> Shape:
    """Whose shape a request for models wants. `query` is the raw query string."""
    names = {name.lower() for name, _ in headers}
    asked = parse_qs(query, keep_blank_values=True)
    if b"x-goog-api-key" in names or b"x-goog-api-client" in names or "key" in asked:
        return "gemini"
    if b"anthropic-version" in names:
        return "anthropic"
    return "codex" if "client_version" in asked else "openai"


def render_list(shape: Shape, cards: Sequence[ModelCard], *, query: str = "") -> bytes:
    """The list, or the page of it that `query` asks for.

    Paging is `limit`, `after_id`, `before_id` for Anthropic, `pageSize`, `pageToken` for Gemini; OpenAI has none.
    Raises ClientError (400) for a page that cannot be.
    """
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    match shape:
        case "anthropic":
            page, more = _anthropic_page(cards, asked)
            return _encode(
                {
                    "data": [_anthropic(card) for card in page],
                    "has_more": more,
                    "first_id": page[0].id if page else None,
                    "last_id": page[-1].id if page else None,
                }
            )
        case "openai":
            return _encode({"object": "list", "data": [_openai(card) for card in cards]})
        case "gemini":
            size = _number(asked, "pageSize", default=50, least=1)
            start = _number(asked, "pageToken", default=0, least=0)
            end = start + min(size, 1000)
            found: dict[str, object] = {"models": [_gemini(card) for card in cards[start:end]]}
            if end < len(cards):
                found["nextPageToken"] = str(end)
            return _encode(found)
        case "codex":
            return _encode({"models": []})
    assert_never(shape)


def render_one(shape: Shape, card: ModelCard) -> bytes:
    """One model. Codex never asks for one, and would get OpenAI's shape."""
    match shape:
        case "anthropic":
            return _encode(_anthropic(card))
        case "openai" | "codex":
            return _encode(_openai(card))
        case "gemini":
            return _encode(_gemini(card))
    assert_never(shape)


def _anthropic_page(cards: Sequence[ModelCard], asked: dict[str, str]) -> tuple[Sequence[ModelCard], bool]:
    limit = _number(asked, "limit", default=20, least=1, most=1000)
    if "after_id" in asked and "before_id" in asked:
        raise ClientError(400, "invalid_request", "after_id and before_id cannot be combined")
    if "before_id" in asked:
        end = _place(cards, asked["before_id"], parameter="before_id")
        start = max(0, end - limit)
        return cards[start:end], start > 0
    start = _place(cards, asked["after_id"], parameter="after_id") + 1 if "after_id" in asked else 0
    return cards[start : start + limit], start + limit < len(cards)


def _place(cards: Sequence[ModelCard], id_: str, *, parameter: str) -> int:
    for index, card in enumerate(cards):
        if card.id == id_:
            return index
    raise ClientError(400, "invalid_request", f"{parameter}: there is no model {id_!r} in this list")


def _number(asked: dict[str, str], name: str, *, default: int, least: int, most: int | None = None) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if (
        text.isascii()
        and text.isdecimal()
        and len(text) < 10
        and int(text) >= least
        and (not most or int(text) <= most)
    ):
        return int(text)
    bounds = f"from {least} to {most}" if most else f"of at least {least}"
    raise ClientError(400, "invalid_request", f"{name} must be a whole number {bounds}, not {text!r}")


def _anthropic(card: ModelCard) -> dict[str, object]:
    return {
        "type": "model",
        "id": card.id,
        "display_name": card.display_name,
        "created_at": datetime.fromtimestamp(card.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": card.context_window,
        "max_tokens": card.max_output_tokens,
    }


def _openai(card: ModelCard) -> dict[str, object]:
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}


def _gemini(card: ModelCard) -> dict[str, object]:
    named = card.id.startswith(("models/", "tunedModels/"))
    found: dict[str, object] = {
        "name": card.id if named else f"models/{card.id}",
        "version": "001",
        "displayName": card.display_name,
        "supportedGenerationMethods": _GEMINI_METHODS,
    }
    if card.context_window is not None:
        found["inputTokenLimit"] = card.context_window
    if card.max_output_tokens is not None:
        found["outputTokenLimit"] = card.max_output_tokens
    return found
