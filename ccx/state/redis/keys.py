"""Names of what is kept in Redis.

Law: every key begins with `{prefix}:`. The braces put all of them on one node of a cluster, as scripts need it. A name
holds names of clients and channels, fingerprints, and digests; never a secret, nor what a client has sent.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The names under one prefix."""

    prefix: str

    def meter(self, id_: str) -> str:
        """The level of a meter."""
        return f"{{{self.prefix}}}:meter:{id_}"

    @property
    def replicas(self) -> str:
        """Who is alive."""
        return f"{{{self.prefix}}}:replicas"

    @property
    def epoch(self) -> str:
        """A word that is another once everything here has been lost."""
        return f"{{{self.prefix}}}:epoch"

    @property
    def health(self) -> str:
        """What replicas have announced on targets."""
        return f"{{{self.prefix}}}:health"

    def probe(self, target: str) -> str:
        """Who may try a target that is to come back."""
        return f"{{{self.prefix}}}:probe:{target}"

    def of(self, kind: str, *parts: str) -> str:
        """Something with a name of many parts, none of which shows."""
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            raw = part.encode("utf-8", "surrogateescape")
            digest.update(len(raw).to_bytes(4, "big") + raw)
        return f"{{{self.prefix}}}:{kind}:{digest.hexdigest()}"
