"""A vector of length one for anything that can be hashed: the same for the same bytes, and unrelated for others."""

from __future__ import annotations

import math
from hashlib import shake_256
from struct import unpack


def unit_vector(content: bytes, size: int) -> list[float]:
    """`size` numbers whose squares add up to 1, to seven decimals each."""
    numbers = unpack(f"<{size}h", shake_256(content).digest(2 * size))
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [round(number / length, 7) for number in numbers]
