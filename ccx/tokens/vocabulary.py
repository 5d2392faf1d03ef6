"""The o200k_base vocabulary, from inside the package: no download, no cache folder, no network.

`o200k_base.NOTICE` beside this file records origin, licence, identity and form of the data.
"""

from __future__ import annotations

import lzma
from importlib.resources import files
from itertools import accumulate, pairwise
from typing import Final

NAME: Final = "o200k_base"
SIZE: Final = 199_998

# From tiktoken_ext/openai_public.py of https://github.com/openai/tiktoken (MIT): the split into words, and the
# special tokens, which the constructor wants but ordinary encoding never emits.
PATTERN: Final = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
SPECIAL_TOKENS: Final = {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}


def ranks() -> dict[bytes, int]:
    """Every token with its rank, freshly read: some 25 MB, which the caller should not keep."""
    data = lzma.decompress(files("ccx.tokens").joinpath("o200k_base.xz").read_bytes())
    ends = accumulate(data[:SIZE], initial=SIZE)
    return {data[start:end]: rank for rank, (start, end) in enumerate(pairwise(ends))}
