"""Secrets exist in ccx only as references until the moment a request needs them.

A reference is data: it may be compared, printed and stored in the compiled table. The value is never stored in the
table, a log, a diff or an error; where a key must be told from another, its salted fingerprint is shown.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, assert_never

from ccx.errors import SecretError

MAX_SECRET_BYTES = 64 * 1024
COMMAND_SECONDS: Final = 15.0
"""How long a command may take to print a secret."""


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


def run_command(ref: SecretRef, *, environ: Mapping[str, str], folder: Path | None = None) -> bytes:
    """What a program prints, without a shell between. Its standard error is not looked at: it may hold anything.

    Raises SecretError, naming the program, if it cannot be started, fails, takes too long or prints too much.
    """
    try:
        with subprocess.Popen(  # noqa: S603 - the program that the reviewed spec names, without a shell
            (ref.name, *ref.arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            cwd=folder,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            killer = threading.Timer(COMMAND_SECONDS, process.kill)
            killer.start()
            try:
                printed = process.stdout.read(MAX_SECRET_BYTES + 1)
                if len(printed) > MAX_SECRET_BYTES:
                    process.kill()
                    raise SecretError(f"secret command {ref.name!r} prints more than {MAX_SECRET_BYTES} bytes")
                status = process.wait()
                in_time = killer.is_alive()
            finally:
                killer.cancel()
    except OSError as error:
        raise SecretError(f"secret command {ref.name!r}: {error.strerror or type(error).__name__}") from error
    if not in_time:
        raise SecretError(f"secret command {ref.name!r} took longer than {COMMAND_SECONDS:g} s")
    if status != 0:
        raise SecretError(f"secret command {ref.name!r} failed with exit status {status}")
    return printed


class SecretCommands:
    """What programs have printed, kept until it is to be asked for again. Safe to use from several threads.

    A program that fails after it has once succeeded leaves the secret as it was: a vault that is down for a moment does
    not take the gateway down. It is asked again the next time.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        folder: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._folder = folder
        self._now = now
        self._kept: dict[SecretRef, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def read(self, ref: SecretRef) -> bytes:
        """What the program prints. Raises SecretError where it fails and nothing is known from before."""
        with self._lock:
            kept = self._kept.get(ref)
            if kept is not None and self._now() < kept[0] + ref.refresh / 1000:
                return kept[1]
            try:
                printed = run_command(ref, environ=self._environ, folder=self._folder)
            except SecretError:
                if kept is None:
                    raise
                return kept[1]
            self._kept[ref] = (self._now(), printed)
            return printed


def resolve(
    ref: SecretRef,
    *,
    environ: Mapping[str, str],
    read: Callable[[str], bytes] = read_file,
    run: Callable[[SecretRef], bytes] | None = None,
) -> str:
    """The value behind a reference, without surrounding white space. `run` runs a command; None runs it anew.

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
            value = _text(run_command(ref, environ=environ) if run is None else run(ref), ref)
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
