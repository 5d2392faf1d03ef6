"""Secrets that a program prints: how it is run, what goes wrong, and when it is asked again."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ccx.errors import SecretError
from ccx.runtime import commands
from ccx.runtime.commands import SecretCommands, run_command
from ccx.secrets import SecretRef, resolve


def told(ref: SecretRef) -> str:
    return resolve(ref, environ={}, run=lambda one: run_command(one, environ=os.environ))


def printing(text: str, *, refresh: int = 1000) -> SecretRef:
    return SecretRef("command", sys.executable, ("-c", f"import sys; sys.stdout.write({text!r})"), refresh)


def python(code: str, refresh: int = 1000) -> SecretRef:
    return SecretRef("command", sys.executable, ("-c", code), refresh)


def test_what_is_printed_is_the_secret() -> None:
    assert told(printing("sk-1\n")) == "sk-1"


def test_arguments_are_arguments_and_no_shell_reads_them() -> None:
    ref = SecretRef("command", sys.executable, ("-c", "import sys; print(sys.argv[1])", "$HOME; `id` && x"))
    assert told(ref) == "$HOME; `id` && x"


def test_it_runs_beside_the_spec_with_the_environment_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file")
    environ = {**os.environ, "SUFFIX": "!"}
    kept = SecretCommands(environ=environ, folder=tmp_path)
    ref = python("import os; print(open('key').read() + os.environ['SUFFIX'])")
    assert resolve(ref, environ=environ, run=kept.read) == "from-file!"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (SecretRef("command", "no-such-program-here"), "No such file"),
        (python("import sys; print('half a secret', file=sys.stderr); sys.exit(3)"), "failed with exit status 3"),
        (python("print()"), "is empty"),
        (python("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')"), "not UTF-8"),
        (python("print('a\\nb')"), "control character"),
        (python("print('x' * 100_000)"), "prints more than 65536 bytes"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), "exit status -15"),
    ],
)
def test_a_failure_names_the_program_and_nothing_it_said(ref: SecretRef, words: str) -> None:
    with pytest.raises(SecretError) as caught:
        told(ref)
    assert words in str(caught.value)
    assert "half a secret" not in str(caught.value)
    assert "import" not in str(caught.value)


def test_it_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(SecretError, match=r"took longer than 0.3 s"):
        told(python("import time; time.sleep(60)"))
    assert time.monotonic() - begun < 30


def test_it_is_asked_again_after_a_while_and_its_failing_changes_nothing(tmp_path: Path) -> None:
    source, now = tmp_path / "value", [0.0]
    source.write_text("one")
    kept = SecretCommands(environ=os.environ, folder=tmp_path, now=lambda: now[0])
    ref = python("print(open('value').read())", refresh=5000)
    assert kept.read(ref).strip() == b"one"
    source.write_text("two")
    assert kept.read(ref).strip() == b"one"
    now[0] = 5.0
    assert kept.read(ref).strip() == b"two"
    source.unlink()
    now[0] = 10.0
    assert kept.read(ref).strip() == b"two"  # the vault is down: the key is still good
    source.write_text("three")
    assert kept.read(ref).strip() == b"three"  # and is asked each time until it is back


def test_a_reference_reads_as_one_would_type_it() -> None:
    ref = SecretRef("command", "op", ("read", "op://vault/the key"))
    assert str(ref) == "command:op read 'op://vault/the key'"


def test_where_nothing_runs_commands_a_reference_stays_one() -> None:
    with pytest.raises(SecretError, match="is not run here"):
        resolve(printing("sk-1"), environ=os.environ)
