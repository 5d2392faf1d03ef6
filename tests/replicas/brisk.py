"""`ccx serve` as it is, but for how long a dead replica is waited for: tests would rather not."""

from __future__ import annotations

import sys

from ccx.cli.main import main
from ccx.state.redis import store

BEAT, GONE, LEASE = 0.1, 1.0, 1.5

if __name__ == "__main__":
    store.BEAT_EVERY, store.GONE_AFTER, store.LEASE = BEAT, GONE, LEASE  # type: ignore[misc]  # final, but not here
    sys.exit(main())
