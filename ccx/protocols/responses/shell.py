"""The response object around the output: what it repeats of the request, and what is new in it.

An answer repeats most of its request. What a client is shown there is its own request, with the protocol's defaults for
what it left out; of an upstream of this protocol, the values that it chose stand where the client chose none.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import Final

from ccx.protocols.codec import Asked
from ccx.protocols.ir import Finish, Json, JsonObject, Loss, Native, Usage
from ccx.protocols.responses.ending import write_finish, write_usage
from ccx.protocols.responses.reading import CLIENT, made
from ccx.protocols.values import record, rest

# What is repeated, and what it is where nobody said anything.
_ECHOED: Final[dict[str, Json]] = {
    "background": False,
    "conversation": None,
    "frequency_penalty": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": None,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# Left out where they say nothing, as the API does.
_OPTIONAL: Final = frozenset(
    {
        "conversation",
        "frequency_penalty",
        "presence_penalty",
        "prompt",
        "prompt_cache_options",
        "prompt_cache_retention",
    }
)
# What an upstream chose for itself although the request may have said otherwise.
_CHOSEN: Final = frozenset({"service_tier", "conversation", "reasoning"})
_READ: Final = frozenset(
    {"id", "object", "created_at", "model", "status", "output", "output_text", "usage", "error", "incomplete_details"}
)


def read_residue(response: JsonObject, issuer: str) -> tuple[Native, ...]:
    """What an answer says beside its output: what it repeats of the request, and what only this protocol knows."""
    echo: JsonObject = {key: value for key, value in response.items() if key in _ECHOED}
    other = rest(response, _READ | _ECHOED.keys())
    return (*made({"echo": echo} if echo else {}, issuer), *made(other, issuer))


class Shell:
    """The response object of one answer to a client."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._repeated = _repeated(asked.body, {})
        self.id = ""
        self.created: int = asked.created

    def begun(self) -> JsonObject:
        """The object when nothing was said yet."""
        return {**self._head("in_progress"), "output": [], "usage": None, **self._repeated}

    def whole(
        self,
        output: list[JsonObject],
        finish: Finish,
        usage: Usage,
        *,
        natives: tuple[Native, ...],
        losses: list[Loss],
    ) -> JsonObject:
        """The object when all is said."""
        refused = any(_refuses(item) for item in output)
        status, reason = write_finish(finish, refused=refused, losses=losses)
        losses.extend(CLIENT.refused(natives, "response"))
        own = CLIENT.own(natives)
        echo = record(own.pop("echo", None))
        found = self._head(status)
        if reason is not None:
            found["incomplete_details"] = {"reason": reason}
        if status == "failed":
            found["error"] = {"code": "server_error", "message": finish.raw or "The answer ended in an error."}
        repeated = _repeated(self._asked.body, echo) if echo else self._repeated
        return {**found, "output": list[Json](output), "usage": write_usage(usage), **repeated, **own}

    def failed(self, error: JsonObject, output: list[JsonObject]) -> JsonObject:
        """The object of an answer that was broken off."""
        found = self._head("failed")
        return {**found, "error": error, "output": list[Json](output), "usage": None, **self._repeated}

    def _head(self, status: str) -> JsonObject:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._asked.model,
        }


def _repeated(asked: JsonObject, echo: JsonObject) -> JsonObject:
    found: JsonObject = {}
    for key, default in _ECHOED.items():
        value = asked.get(key)
        if value is None or (key in _CHOSEN and echo.get(key) is not None):
            value = echo.get(key)
        if key == "text" and isinstance(value, dict):
            value = {"format": {"type": "text"}, **value}
        if value is not None:
            found[key] = value
        elif key not in _OPTIONAL:
            found[key] = default
    return found


def _refuses(item: JsonObject) -> bool:
    content = item.get("content")
    return isinstance(content, list) and any(isinstance(one, dict) and one.get("type") == "refusal" for one in content)
