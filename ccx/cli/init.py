"""`ccx init`: write a first ccx.yaml for the providers one has.

Law: it looks at the names of environment variables that are set and at nothing else, never at their values, and asks
the network nothing. It overwrites only with --force, and whole: a gateway that watches the file never reads half of it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ccx.catalog.providers import Provider, providers
from ccx.catalog.providers import provider as preset
from ccx.cli.keys import mint
from ccx.cli.starter import LISTEN, Upstream, spoken, starter
from ccx.errors import UsageError
from ccx.protocols.names import Protocol
from ccx.routing.addresses import BadBaseUrl, parse_base
from ccx.spec.node import NAME_PATTERN
from ccx.spec.validate import load

SCHEMA_FILE = Path("schema", "ccx.v1.json")
SCHEMA_URL = "https://raw.githubusercontent.com/ccx-gateway/ccx/main/schema/ccx.v1.json"
_DEMO = "demo"
_CURL = (
    f"curl http://{LISTEN}/v1/messages --json "
    """'{"model":"demo","max_tokens":99,"messages":[{"role":"user","content":"Hello"}]}'"""
)

app = typer.Typer()


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("ccx.yaml"),
    provider: Annotated[
        list[str] | None,
        typer.Option(help="A provider to use, first choice first; may be given again. See `ccx providers`."),
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(help="A client that may call; its key is made and shown once. May be given again."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Use the built-in demo upstream, which needs no key.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a commented ccx.yaml for the providers you have.

    Without --provider it takes those whose usual environment variable is set, such as ANTHROPIC_API_KEY, and asks on a
    terminal. Keys stay where they are: the file names the variable.
    """
    _writable(path, force=force)
    asking = sys.stdin.isatty() and not yes
    if demo and provider:
        raise UsageError("--demo and --provider exclude each other", hint="ccx init --provider anthropic")
    if demo:
        rows: tuple[Provider, ...] = (_provider(_DEMO),)
    elif provider:
        rows = _providers(provider)
    else:
        rows = _detected(os.environ)
        _tell_detected(rows, os.environ)
        if asking:
            rows = _ask_providers(rows)
    if not rows:
        typer.echo("No provider's key is in the environment: using the built-in demo upstream, which needs none.")
        rows = (_provider(_DEMO),)
    upstreams = [_upstream(row, os.environ, asking=asking) for row in rows]
    names = _client_names(client or (_ask_clients() if asking else []))
    keys = {name: mint() for name in names}
    hashed = [(name, hashlib.sha256(key.encode()).hexdigest()) for name, key in keys.items()]
    text = starter(upstreams, hashed, schema=schema_for(path.absolute().parent))
    _check(path, text)
    _write(path, text, force=force)
    typer.echo(f"Wrote {path}: {', '.join(row.name for row in rows)}.")
    _tell_keys(keys)
    _tell_next(path, upstreams, with_clients=bool(keys))


def schema_for(folder: Path) -> str:
    """What the modeline names: the schema of the checkout that the folder is in, else the published one."""
    up = Path()
    for above in (folder, *folder.parents):
        if (above / SCHEMA_FILE).is_file():
            return (up / SCHEMA_FILE).as_posix()
        if (above / ".git").exists():
            break
        up = up / ".."
    return SCHEMA_URL


def _writable(path: Path, *, force: bool) -> None:
    """Refuse early, before anything is asked. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a directory", hint=f"ccx init {path / 'ccx.yaml'}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no directory {str(path.parent)!r}", hint=f"mkdir -p {path.parent}")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{str(path)!r} exists and is left as it is", hint="--force replaces it; or name another file")


def _provider(name: str) -> Provider:
    row = preset(name.strip().lower())
    if row is not None:
        return row
    known = [row.name for row in providers()]
    close = difflib.get_close_matches(
        name.lower(), [*known, *(alias for row in providers() for alias in row.aliases)], 1
    )
    raise UsageError(
        f"there is no provider {name!r}; there are {', '.join(known)}",
        hint=f"--provider {close[0]}" if close else "ccx providers",
    )


def _providers(names: Sequence[str]) -> tuple[Provider, ...]:
    """Each once, in the order given. Raises UsageError."""
    return tuple({row.name: row for row in map(_provider, names)}.values())


def _detected(environ: Mapping[str, str]) -> tuple[Provider, ...]:
    """The providers whose variable is set; where two share one, the first, since a key is good for one of them.

    One that needs an address too cannot be guessed, and has to be named.
    """
    found: dict[str, Provider] = {}
    for row in providers():
        if row.key_env is not None and environ.get(row.key_env, "").strip() and not row.needs_base_url:
            found.setdefault(row.key_env, row)
    return tuple(found.values())


def _tell_detected(rows: Sequence[Provider], environ: Mapping[str, str]) -> None:
    for row in rows:
        others = [other.name for other in providers() if other.key_env == row.key_env and other is not row]
        if others:
            typer.echo(
                f"{row.key_env} may be for {' or '.join(others)} too: choose with --provider; taking {row.name}."
            )
    for row in providers():
        if row.needs_base_url and row.key_env is not None and environ.get(row.key_env, "").strip():
            typer.echo(f"{row.key_env} is set: --provider {row.name} takes it in; its address is yours to fill in.")


def _ask_providers(found: Sequence[Provider]) -> tuple[Provider, ...]:
    typer.echo(f"Providers: {', '.join(row.name for row in providers())}")
    default = ", ".join(row.name for row in found) or _DEMO
    while True:
        answer: str = typer.prompt("Which, first choice first", default=default)
        try:
            rows = _providers([name for name in answer.replace(",", " ").split() if name])
        except UsageError as error:
            typer.echo(f"{error}\n  try: {error.hint}")
            continue
        if rows:
            return rows


def _upstream(row: Provider, environ: Mapping[str, str], *, asking: bool) -> Upstream:
    base_url = _ask_base_url(row) if row.needs_base_url and asking else None
    wanted = row.needs_key or (row.key_env is not None and bool(environ.get(row.key_env, "").strip()))
    return Upstream(row, base_url, row.key_env if wanted else None)


def _ask_base_url(row: Provider) -> str | None:
    """The address of a provider that has none of its own; None for the one that shows its form."""
    while True:
        answer: str = typer.prompt(f"Address of {row.name}", default=row.base_url_example)
        if answer == row.base_url_example:
            return None
        try:
            base = parse_base(answer)
        except BadBaseUrl as error:
            typer.echo(f"{error}" + (f"\n  try: {error.suggestion}" if error.suggestion else ""))
            continue
        if base.scheme in ("http", "https"):
            return answer
        typer.echo(f"{answer!r} is not the http or https address of an upstream")


def _ask_clients() -> list[str]:
    typer.echo("Without clients, programs on this machine may call, and nobody else.")
    answer: str = typer.prompt("Clients to make keys for, if any", default="", show_default=False)
    return answer.replace(",", " ").split()


def _client_names(names: Sequence[str]) -> list[str]:
    """Each once, in the order given. Raises UsageError."""
    for name in names:
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise UsageError(f"{name!r} is not a client's name", hint="letters, digits, dots, dashes: --client team-a")
    return list(dict.fromkeys(names))


def _check(path: Path, text: str) -> None:
    """Refuse to write what `ccx validate` would refuse. Raises UsageError."""
    here = path.absolute()
    found = load(here, read=lambda _: text.encode())
    if found.spec is None:
        raise UsageError("; ".join(d.message for d in found.diagnostics), hint="see `ccx init --help`")


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        if not force:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return
        target = path.resolve()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or type(error).__name__}") from error


def _tell_keys(keys: Mapping[str, str]) -> None:
    if not keys:
        return
    typer.echo("\nKeys, shown once; the file holds their hashes:")
    for name, key in keys.items():
        typer.echo(f"  {name}: {key}")


def _tell_next(path: Path, upstreams: Sequence[Upstream], *, with_clients: bool) -> None:
    typer.echo("\nNext:")
    unset = [u.key_env for u in upstreams if u.key_env is not None and not os.environ.get(u.key_env, "").strip()]
    typer.echo("".join(f"  export {name}=…\n" for name in dict.fromkeys(unset)), nl=False)
    typer.echo(f"  ccx validate {path}\n  ccx serve {path}\n\nThen, in another terminal:")
    if with_clients:
        typer.echo("  export CCX_KEY=… # a key from above")
    if any(u.provider.name == _DEMO for u in upstreams):
        typer.echo(f"  {_CURL}" + (" -H x-api-key:$CCX_KEY" if with_clients else ""))
    for line in client_lines(spoken(upstreams), key="$CCX_KEY" if with_clients else "none"):
        typer.echo(f"  {line}")


def client_lines(protocols: Sequence[Protocol], *, key: str) -> list[str]:
    """The commands that point the usual clients of these protocols at the gateway, with this word for a key.

    Gemini CLI 0.61 takes a base URL in its environment for an authentication of its own, which it then refuses: the one
    by API key has to be chosen in it once.
    """
    origin = f"http://{LISTEN}"
    codex = f'name="ccx",base_url="{origin}/v1",wire_api="responses"' + (
        ',env_key="CCX_KEY"' if key.startswith("$") else ""
    )
    lines = {
        Protocol.MESSAGES: f"ANTHROPIC_BASE_URL={origin} ANTHROPIC_AUTH_TOKEN={key} claude",
        Protocol.RESPONSES: f"codex -c model_provider=ccx -c 'model_providers.ccx={{{codex}}}'",
        Protocol.GEMINI: f"GOOGLE_GEMINI_BASE_URL={origin} GEMINI_API_KEY={key} gemini # /auth: API key",
        Protocol.CHAT: f"OPENAI_BASE_URL={origin}/v1 OPENAI_API_KEY={key} … # whatever uses the OpenAI SDK",
    }
    return [line for protocol, line in lines.items() if protocol in protocols]
