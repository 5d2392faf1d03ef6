"""The command that asks for one request."""

from __future__ import annotations

import json
import shlex

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts


def command(facts: Facts, *, spec: str = "ccx.yaml") -> str:
    """The `ccx explain` command line for a request, quoted for a POSIX shell."""
    words = ["ccx", "explain"]
    if spec != "ccx.yaml":
        words.append(spec)
    if facts.model is not None:
        words += [_option("--model", facts.model)]
    if facts.protocol is not Protocol.MESSAGES:
        words += ["--protocol", facts.protocol.value]
    words += ["--tokens", str(facts.input_tokens) if facts.input_tokens is not None else "none"]
    words += [f"--{flag}" for flag in ("stream", "tools", "thinking", "images") if getattr(facts, flag)]
    words += [_option("--server-tool", name) for name in sorted(facts.server_tools)]
    if facts.client is not None:
        words += [_option("--client", facts.client)]
    words += [_option("--header", f"{name}={value}") for name, value in sorted(facts.headers.items())]
    if facts.prefix is not None:
        words += [_option("--prefix", facts.prefix)]
    words += [_option("--body-field", f"{path}={json.dumps(value)}") for path, value in sorted(facts.body.items())]
    return shlex.join(words)


def _option(name: str, value: str) -> str:
    # A value that starts with a dash would be read as an option of its own.
    return f"{name}={value}"
