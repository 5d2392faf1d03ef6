"""Programs that print secrets: run without a shell, their output kept for a while. `ccx serve` runs them, nothing else.

Law: what a program says on standard error, and its arguments, appear in no message. A program that fails after it has
once succeeded changes nothing.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ccx.errors import SecretError
from ccx.secrets import MAX_SECRET_BYTES, SecretRef

COMMAND_SECONDS: Final = 15.0
"""How long a program may take to print a secret."""


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
