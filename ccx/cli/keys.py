"""`ccx keys`: make keys for clients."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated, Literal

import typer

from ccx.errors import UsageError

app = typer.Typer()
_PREFIX = "ccx-"
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


def mint() -> str:
    """A new client key: 256 random bits, with a prefix that secret scanners can learn."""
    return _PREFIX + secrets.token_urlsafe(32)


@app.command()
def keys(
    action: Annotated[Literal["new", "hash"], typer.Argument(help="new: make a key. hash: hash one from stdin.")],
    name: Annotated[str, typer.Argument(help="Name of the client.")] = "team-a",
    output: Annotated[Literal["text", "json"], typer.Option(help="Form of the output.")] = "text",
) -> None:
    """Make a key for a client: shown once, never stored; the spec holds its SHA-256.

    `ccx keys hash NAME < file` prints the line for a key that exists already.
    """
    if not name or name[0] in "._-" or any(sign not in _NAME for sign in name) or len(name) > 64:
        raise UsageError(f"{name!r} is not a client's name", hint="letters, digits, dots, dashes: ccx keys new team-a")
    key = mint() if action == "new" else typer.get_text_stream("stdin").read().strip()
    if not key:
        raise UsageError("no key on standard input", hint=f"ccx keys hash {name} < keyfile")
    digest = hashlib.sha256(key.encode()).hexdigest()
    if output == "json":
        shown = {"client": name, "sha256": digest} | ({"key": key} if action == "new" else {})
        typer.echo(json.dumps(shown))
        return
    if action == "new":
        typer.echo(f"Key of {name}, shown once:\n\n  {key}\n\nIn the spec:\n")
    typer.echo(f'clients:\n  {name}:\n    key: {{sha256: "{digest}"}}')
