"""Affinity: which of several targets a key belongs to, by rendezvous hashing.

Law: stateless. The same key and the same targets give the same order on every replica, in every process and after every
swap; when a target goes, only its own keys move, each to its second choice, and when it returns they come back. Shares
follow the weights (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weighted as in
https://www.snia.org/sites/default/files/SDC15_presentations/dist_sys/Jason_Resch_New_Consistent_Hashings_Rev.pdf).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def rendezvous(key: bytes, targets: Sequence[tuple[_T, str, int]]) -> tuple[_T, ...]:
    """Targets in the order of preference of this key. Each comes with a stable name and a weight; a weight of 0 is last
    and never before another."""
    ranked = sorted(targets, key=lambda target: (-_score(key, target[1], target[2]), target[1]))
    return tuple(item for item, _, _ in ranked)


def share(key: bytes, salt: str) -> float:
    """A number in [0, 1) that belongs to a key: for canaries, which take the keys below a share."""
    return _unit(key, salt)


def _score(key: bytes, name: str, weight: int) -> float:
    if weight <= 0:
        return 0.0
    return -weight / math.log(_unit(key, name) or 2.0**-64)


def _unit(key: bytes, name: str) -> float:
    digest = hashlib.blake2b(key, digest_size=8, person=b"ccx-affinity", salt=_salt(name)).digest()
    return int.from_bytes(digest) / 2.0**64


def _salt(name: str) -> bytes:
    raw = name.encode()
    return raw if len(raw) <= hashlib.blake2b.SALT_SIZE else hashlib.blake2b(raw, digest_size=16).digest()
