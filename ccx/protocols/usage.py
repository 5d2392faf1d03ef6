"""Token usage as the providers report it, brought to one meaning.

Law: `input_tokens` is the whole prompt, cached parts included, whoever reports it; `output_tokens` is everything that
was generated, reasoning included. What a provider did not say is None. Reading never raises.

Sources and their differences
- Anthropic reports the cached parts apart from `input_tokens`, so they are added:
  https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
- OpenAI's counts include them: https://platform.openai.com/docs/guides/prompt-caching. Some compatible vendors (xAI,
  Gemini's compatible endpoint) leave reasoning out of `completion_tokens` but not out of `total_tokens`: the total
  wins.
- Gemini counts cached tokens in the prompt, thoughts and tool prompts apart:
  https://ai.google.dev/api/generate-content#UsageMetadata
- DeepSeek names its cache `prompt_cache_hit_tokens`: https://api-docs.deepseek.com/guides/kv_cache
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one exchange. None is unknown, not zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


NO_USAGE = Usage()


def anthropic_usage(*reports: object) -> Usage:
    """The usage of a message; of a stream, the reports of message_start and message_delta in order.

    Reports are cumulative, and some vendors send zeros where they do not know yet, so the largest of each holds.
    """
    fresh = output = read = written = thinking = None
    for report in reports:
        if not isinstance(report, dict):
            continue
        fresh = _larger(fresh, report.get("input_tokens"))
        output = _larger(output, report.get("output_tokens"))
        read = _larger(read, report.get("cache_read_input_tokens"))
        written = _larger(written, report.get("cache_creation_input_tokens"))
        details = report.get("output_tokens_details")
        if isinstance(details, dict):
            thinking = _larger(thinking, details.get("thinking_tokens"))
    return Usage(
        None if fresh is None else fresh + (read or 0) + (written or 0),
        output,
        read,
        written,
        thinking,
    )


def openai_usage(report: object) -> Usage:
    """The usage object of Chat, Responses, Images or Embeddings; the two generations of names mean the same."""
    prompt = _first(_count(report, "prompt_tokens"), _count(report, "input_tokens"))
    output = _first(_count(report, "completion_tokens"), _count(report, "output_tokens"))
    total = _count(report, "total_tokens")
    if prompt is not None and output is not None and total is not None and total > prompt + output:
        output = total - prompt
    before = _inner(report, "prompt_tokens_details") or _inner(report, "input_tokens_details")
    after = _inner(report, "completion_tokens_details") or _inner(report, "output_tokens_details")
    return Usage(
        prompt,
        output,
        _first(
            _count(before, "cached_tokens"),
            _count(report, "prompt_cache_hit_tokens"),
            _count(report, "cached_tokens"),
        ),
        _first(_count(before, "cache_write_tokens"), _count(before, "cache_creation_tokens")),
        _count(after, "reasoning_tokens"),
    )


def gemini_usage(report: object) -> Usage:
    """The usageMetadata of an answer or of the last chunk that has one."""
    prompt = _count(report, "promptTokenCount")
    candidates, thoughts = _count(report, "candidatesTokenCount"), _count(report, "thoughtsTokenCount")
    return Usage(
        None if prompt is None else prompt + (_count(report, "toolUsePromptTokenCount") or 0),
        None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0),
        _count(report, "cachedContentTokenCount"),
        None,
        thoughts,
    )


def counted(report: object) -> Usage:
    """The answer of a request that only counts: `input_tokens` of Messages and Responses, `totalTokens` of Gemini."""
    return Usage(
        _first(_count(report, "input_tokens"), _count(report, "totalTokens")),
        cache_read_tokens=_count(report, "cachedContentTokenCount"),
    )


def _inner(report: object, key: str) -> object:
    return report.get(key) if isinstance(report, dict) else None


def _count(report: object, key: str) -> int | None:
    return _larger(None, _inner(report, key))


def _larger(known: int | None, value: object) -> int | None:
    """The larger of a count and of one that a provider sent, which may be anything."""
    if type(value) is not int:
        value = _number(value)
    if value is None or value < 0:
        return known
    return value if known is None or value > known else known


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
