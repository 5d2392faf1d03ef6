"""`python -m ccx`."""

from __future__ import annotations

import sys

from ccx.cli.main import main

sys.exit(main())
