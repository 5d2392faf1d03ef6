"""Secrets exist in ccx only as references until the moment a request needs them.

A reference is data: it may be compared, printed and stored in the compiled table. The value is never stored in the
table, a log, a diff or an error; where a key must be told from another, its salted fingerprint is shown.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from ccx.errors import SecretError

MAX_SECRET_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is: the name of an environment variable, the path of a file, or a program that prints it, with its
    arguments and the milliseconds after which it is asked again."""

    kind: Literal["env", "file", "command"]
    name: str
    arguments: tuple[str, ...] = ()
    refresh: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{shlex.join((self.name, *self.arguments)) if self.kind == 'command' else self.name}"


def read_file(path: str) -> bytes:
    """The bytes of a secret file, at most `MAX_SECRET_BYTES`. Raises OSError."""
    with Path(path).open("rb") as file:
        return file.read(MAX_SECRET_BYTES + 1)


def resolve(
    ref: SecretRef,
    *,
    environ: Mapping[str, str],
    read: Callable[[str], bytes] = read_file,
    run: Callable[[SecretRef], bytes] | None = None,
) -> str:
    """The value behind a reference, without surrounding white space. `run` runs a command; without it
    none is run.

    Raises SecretError, naming the reference, when it is unset, empty, unreadable, too large or not text.
    """
    match ref.kind:
        case "env":
            value = environ.get(ref.name)
            if value is None:
                raise SecretError(f"environment variable {ref.name!r} is not set")
        case "file":
            try:
                raw = read(ref.name)
            except OSError as error:
                raise SecretError(f"secret file {ref.name!r}: {error.strerror or type(error).__name__}") from error
            if len(raw) > MAX_SECRET_BYTES:
                raise SecretError(f"secret file {ref.name!r} is larger than {MAX_SECRET_BYTES} bytes")
            value = _text(raw, ref)
        case "command":
            if run is None:
                raise SecretError(f"secret command {ref.name!r} is not run here")
            value = _text(run(ref), ref)
        case _:
            assert_never(ref.kind)
    value = value.strip()
    if not value:
        raise SecretError(f"{_shown(ref)} is empty")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
        raise SecretError(f"{_shown(ref)} holds a control character; a key is one line of printable text")
    return value


def _text(raw: bytes, ref: SecretRef) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretError(f"secret {ref.kind} {ref.name!r} is not UTF-8 text") from None


def _shown(ref: SecretRef) -> str:
    return f"{ref.kind}:{ref.name}"


def fingerprint(value: str, *, salt: str) -> str:
    """Eight hex digits that tell keys apart without revealing them; `salt` is the name of the channel or client."""
    return hashlib.sha256(f"ccx fingerprint\0{salt}\0{value}".encode()).hexdigest()[:8]
