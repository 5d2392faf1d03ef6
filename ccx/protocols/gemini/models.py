"""What each generation of Gemini accepts, read off a model's name.

Law: a table of documented facts, one row a generation; no other module asks for a version. A model that is not a Gemini
(vendors serve their own behind this protocol) gets the permissive row: what was asked goes as it was asked.

Sources, read as stored copies in November 2026
- levels and budgets: https://ai.google.dev/gemini-api/docs/thinking,
  https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/guides/gemini-3-5-flash
- signatures: https://ai.google.dev/gemini-api/docs/thought-signatures
- media in results: https://ai.google.dev/gemini-api/docs/function-calling#multimodal
- media by URL: https://ai.google.dev/gemini-api/docs/file-input-methods
- resolution of a part: https://ai.google.dev/gemini-api/docs/media-resolution
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
"""Every level that the protocol has a word for, rising."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model accepts.

    `thinking`: how it is told how much to think: by a level, by a budget, not at all, or in any way. `levels`: those it
    knows, rising. `budget`: the least and the most tokens. `off`: whether a budget of 0 turns thinking off.
    `signed_calls`: calls of the turn that goes on must have a signature. `media_results`: results of functions may hold
    media. `remote`: media may be named by any URL. `resolution`: a part may say how closely to look.
    """

    thinking: Literal["level", "budget", "none", "any"] = "any"
    levels: tuple[str, ...] = LEVELS
    budget: tuple[int, int] = (0, 32_768)
    off: bool = True
    signed_calls: bool = False
    media_results: bool = False
    remote: bool = True
    resolution: bool = False


_FOREIGN = Traits()
_EARLY = Traits(thinking="none", remote=False)
_FLASH_25 = Traits(thinking="budget", budget=(1, 24_576))
_LITE_25 = replace(_FLASH_25, budget=(512, 24_576))
_PRO_25 = Traits(thinking="budget", budget=(128, 32_768), off=False)
_FLASH_3 = Traits(
    thinking="level", levels=LEVELS[:4], signed_calls=True, media_results=True, resolution=True, off=False
)
_PRO_31 = replace(_FLASH_3, levels=("low", "medium", "high"))
_PRO_30 = replace(_FLASH_3, levels=("low", "high"))
_FLASH_IMAGE_3 = replace(_FLASH_3, levels=("minimal", "high"), signed_calls=False)
_PRO_IMAGE_3 = replace(_FLASH_3, thinking="none", signed_calls=False)

_NAME = re.compile(r"gemini-(?:(\d+)(?:\.(\d+))?-)?([a-z0-9.-]*)")


@lru_cache(maxsize=256)
def traits(model: str) -> Traits:
    """The row of this model. Names may have a path in front."""
    found = _NAME.search(model.lower())
    if found is None:
        return _FOREIGN
    # Aliases such as gemini-flash-latest name no version and mean the newest.
    version = (int(found[1]), int(found[2] or 0)) if found[1] else (3, 1)
    kind = found[3]
    pro = kind.startswith("pro")
    if version < (2, 5):
        return _EARLY
    if version < (3, 0):
        if "image" in kind or "tts" in kind or "audio" in kind:
            return replace(_FLASH_25, thinking="none")
        return _PRO_25 if pro else _LITE_25 if kind.startswith("flash-lite") else _FLASH_25
    if "image" in kind:
        return _PRO_IMAGE_3 if pro else _FLASH_IMAGE_3
    if "tts" in kind:
        return replace(_FLASH_3, thinking="none", signed_calls=False)
    if pro:
        return _PRO_30 if version < (3, 1) else _PRO_31
    return _FLASH_3
