"""How long a target takes to begin answering: a moving average that jumps up at once and comes down slowly (peak EWMA).

A single slow answer is taken seriously, since the next would be as slow; many quick ones are needed to be forgiven.
After a while without a request the figure fades, so that a target is tried again instead of being avoided for good.
As in Finagle's `PeakEwma` load balancer: https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-peak-ewma-least-loaded
"""

from __future__ import annotations

import math
from typing import Final

DECAY: Final = 10.0
"""Seconds after which a figure counts for about a third."""


class PeakEwma:
    """The figure of one target, in seconds."""

    __slots__ = ("_at", "_figure")

    def __init__(self, sample: float, now: float) -> None:
        self._figure = sample
        self._at = now

    def add(self, sample: float, now: float) -> None:
        """A request took so many seconds to its first byte."""
        weight = math.exp(-max(now - self._at, 0.0) / DECAY)
        self._figure = sample if sample > self._figure else self._figure * weight + sample * (1.0 - weight)
        self._at = now

    def value(self, now: float) -> float:
        """The figure as it is at this moment."""
        return self._figure * math.exp(-max(now - self._at, 0.0) / DECAY)
