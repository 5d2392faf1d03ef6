"""OpenAI Embeddings. Source: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

from base64 import b64encode
from struct import pack

from ccx.upstream.demo.answer import encode
from ccx.upstream.demo.ask import Request, joined, model_of
from ccx.upstream.demo.failures import refusal
from ccx.upstream.demo.fields import integer, listed
from ccx.upstream.demo.script import Script
from ccx.upstream.demo.vector import unit_vector

DIMENSIONS = 1536
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048


def embed(request: Request) -> Script:
    """POST /v1/embeddings."""
    body = request.json()
    model = model_of(body)
    inputs = _inputs(body.get("input"))
    wanted = body.get("dimensions", DIMENSIONS)
    size = integer(wanted)
    if size is None or not 1 <= size <= MAX_DIMENSIONS:
        message = f"Invalid value for 'dimensions': from 1 to {MAX_DIMENSIONS} expected, not {wanted!r}."
        raise refusal(message, param="dimensions", code="invalid_value")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        message = f"Invalid 'encoding_format': 'float' or 'base64' expected, not {encoding!r}."
        raise refusal(message, param="encoding_format", code="invalid_value")
    count = sum(len(item.split()) if isinstance(item, str) else len(item) for item in inputs)

    def embedding(item: str | list[object]) -> str | list[float]:
        vector = unit_vector(item.encode() if isinstance(item, str) else encode(item), size)
        return vector if encoding == "float" else b64encode(pack(f"<{size}f", *vector)).decode()

    answer = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": embedding(item)} for index, item in enumerate(inputs)
        ],
        "model": model,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }
    return Script(model, joined([item for item in inputs if isinstance(item, str)]), (encode(answer),))


def _inputs(given: object) -> list[str | list[object]]:
    """Texts or lists of token ids, one or several of them."""
    if isinstance(given, str):
        inputs: list[str | list[object]] = [given]
    elif isinstance(given, list) and given and all(integer(item) is not None for item in given):
        inputs = [given]
    else:
        inputs = [item for item in listed(given) if isinstance(item, str | list)]
        if len(inputs) != len(listed(given)):
            inputs = []
    if not inputs or not all(inputs):
        raise refusal("Invalid 'input': texts or lists of tokens expected, none of them empty.", param="input")
    if len(inputs) > MAX_INPUTS:
        raise refusal(
            f"Invalid 'input': at most {MAX_INPUTS} items expected.", param="input", code="array_above_max_length"
        )
    return inputs
