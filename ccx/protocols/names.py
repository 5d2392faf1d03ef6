"""The wire protocols and operations, by name. The vocabulary of every other module; it knows nothing else."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """The wire protocol of a client's request, or of an upstream."""

    MESSAGES = "messages"  # Anthropic Messages
    CHAT = "chat"  # OpenAI Chat Completions
    RESPONSES = "responses"  # OpenAI Responses
    GEMINI = "gemini"  # Google Gemini generateContent
    IMAGES = "images"  # OpenAI Images
    EMBEDDINGS = "embeddings"  # OpenAI Embeddings


class Operation(StrEnum):
    """What a request asks of its protocol."""

    GENERATE = "generate"  # an answer, streamed or not; for images: a new image
    COUNT_TOKENS = "count_tokens"  # messages, gemini, responses
    COMPACT = "compact"  # responses
    EDIT = "edit"  # images
    VARIATION = "variation"  # images
    EMBED = "embed"  # embeddings; gemini embedContent
    BATCH_EMBED = "batch_embed"  # gemini batchEmbedContents


CHAT_PROTOCOLS: frozenset[Protocol] = frozenset(
    {Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI},
)

RESERVED_SEGMENTS: frozenset[str] = frozenset(
    {"v1", "v1beta", "v1alpha", "messages", "chat", "responses", "models", "tunedModels", "images", "embeddings"}
    | {"health", "ready", "status", "metrics", "admin", "api"},
)
"""First segments of the gateway's own paths; none of them is a path prefix, whatever a spec says."""
