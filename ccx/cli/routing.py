"""`ccx compile` and `ccx explain`: the table a spec means, and what becomes of one request."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccx.cli.asked import at_time, by_session, given, read_request, remembered, unix_time
from ccx.cli.explained import ASCII, UNICODE, as_data, as_text
from ccx.cli.from_log import Logged, read_line
from ccx.errors import Exit, UsageError
from ccx.plan.render.cells import visible
from ccx.protocols.names import Protocol
from ccx.routing.canonical import table_json
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.decide import Decider
from ccx.routing.promotion import moment
from ccx.routing.trace import explain as traced
from ccx.spec.diagnostics import has_errors
from ccx.spec.render.text import render_findings
from ccx.spec.rules import RULES
from ccx.spec.validate import extended, load

app = typer.Typer()

_CODE = re.compile(r"CCX\d{3}", re.IGNORECASE)
_ProtocolName = Literal["messages", "chat", "responses", "gemini", "images", "embeddings"]


@app.command("compile")
def compile_(
    path: Annotated[Path, typer.Argument(help="The spec.")] = Path("ccx.yaml"),
    output: Annotated[str | None, typer.Option("--output", "-o", help="File for the table; - for stdout.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Print the digest alone.")] = False,
) -> None:
    """Compile a spec to its routing table. The same meaning gives the same bytes; no secret is in it."""
    compiled = _compiled(path, warn=True)
    if output == "-" and digest:
        raise UsageError(
            "--output - and --digest both write to standard output", hint="ccx compile -o table.json --digest"
        )
    data = table_json(compiled.table) + b"\n"
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if output is not None:
        try:
            Path(output).write_bytes(data)
        except OSError as error:
            raise UsageError(f"cannot write {output!r}: {error.strerror}") from None
    if digest:
        typer.echo(compiled.digest)
        return
    table = compiled.table
    typer.echo(f"{compiled.digest}  {len(table.channels)} channels, {len(table.routes)} routes")


@app.command()
def explain(
    target: Annotated[
        str, typer.Argument(metavar="[PATH|CODE]", help="The spec, or a rule such as CCX101.")
    ] = "ccx.yaml",
    model: Annotated[str | None, typer.Option(help="The model as the client writes it.")] = None,
    protocol: Annotated[_ProtocolName | None, typer.Option(help="The client's protocol. Default: messages.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Size of the prompt: 900, 60k, none. Default: 0.")] = None,
    sticky_tokens: Annotated[
        str | None, typer.Option(metavar="N", help="Highest count that its session has had of late (tokens.sticky).")
    ] = None,
    stream: Annotated[bool | None, typer.Option("--stream/--no-stream", help="Ask for a stream.")] = None,
    tools: Annotated[bool | None, typer.Option("--tools/--no-tools", help="Declare tools.")] = None,
    server_tool: Annotated[list[str] | None, typer.Option(help="A tool that the provider runs; repeatable.")] = None,
    thinking: Annotated[bool | None, typer.Option("--thinking/--no-thinking", help="Enable thinking.")] = None,
    images: Annotated[bool | None, typer.Option("--images/--no-images", help="Send an image.")] = None,
    client: Annotated[str | None, typer.Option(help="Name of a declared client.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="A request header: name=value; repeatable.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Path prefix: /PREFIX/v1/...")] = None,
    body_field: Annotated[list[str] | None, typer.Option(help="A body field: path=value (JSON); repeatable.")] = None,
    request: Annotated[str | None, typer.Option(help="A file with the request's body; - for stdin.")] = None,
    url_path: Annotated[str | None, typer.Option("--path", help="URL path of the request. With --request.")] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="LOG[:N]", help="A line of a request log: the file, its line, the text itself; - for stdin."
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When, for channels promoted for a time. Default: now.")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option(help="Form of the output.")] = "text",
) -> None:
    """Say which route takes a request, and why; or what a rule such as CCX101 is about.

    Describe the request by its facts, give its body with --request, or name a line of the request log with --log: its
    last, or the one with a number. That request is decided anew, by the spec as it is now.
    """
    if _CODE.fullmatch(target) and not Path(target).exists():
        _explain_rule(target.upper())
        return
    compiled = _compiled(Path(target), warn=False)
    decider = Decider(compiled.table)
    facts_given = {
        "--tokens": tokens,
        "--stream": stream,
        "--tools": tools,
        "--server-tool": server_tool,
        "--thinking": thinking,
        "--images": images,
        "--body-field": body_field,
    }
    logged: Logged | None = None
    if log is not None:
        others = facts_given | {
            "--model": model,
            "--protocol": protocol,
            "--client": client,
            "--header": header,
            "--prefix": prefix,
            "--request": request,
            "--path": url_path,
            "--sticky-tokens": sticky_tokens,
        }
        doubled = [name for name, value in others.items() if value is not None]
        if doubled:
            raise UsageError(f"{', '.join(doubled)}: --log already says that")
        logged = read_line(compiled.table, log)
        facts = logged.facts
    elif request is not None:
        doubled = [name for name, value in facts_given.items() if value is not None]
        if doubled:
            raise UsageError(f"{', '.join(doubled)}: --request already says that")
        facts = read_request(
            decider,
            request,
            path=url_path,
            protocol=Protocol(protocol) if protocol is not None else None,
            model=model,
            client=client,
            headers=header or [],
            prefix=prefix,
        )
    else:
        if url_path is not None:
            raise UsageError("--path goes with --request", hint="ccx explain --request body.json --path /v1/messages")
        facts = given(
            decider,
            protocol=Protocol(protocol or "messages"),
            model=model,
            tokens=tokens,
            stream=bool(stream),
            tools=bool(tools),
            server_tools=server_tool or [],
            thinking=bool(thinking),
            images=bool(images),
            client=client,
            headers=header or [],
            prefix=prefix,
            body_fields=body_field or [],
        )
    highest = logged.sticky_tokens if logged is not None else remembered(compiled.table, sticky_tokens)
    judged, notes = by_session(decider, facts, highest)
    if logged is not None and highest is None:
        notes = ()  # the line would say it
    trace, promoted = at_time(traced(decider, judged, sources=compiled.sources), unix_time(at, now=time.time()))
    goes_first = [f"channel {name} goes first until {moment(period.until)} (promote)" for name, period in promoted]
    if output == "json":
        data = as_data(trace, digest=compiled.digest)
        data["sticky_tokens"] = judged.input_tokens if judged is not facts else None
        data["promoted"] = [{"channel": name, "until": moment(period.until)} for name, period in promoted]
        data["notes"] = [*notes, *goes_first]
        if logged is not None:
            data["logged"] = {"digest": logged.digest, "route": logged.route, "notes": list(logged.notes)}
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    encoding = sys.stdout.encoding or "ascii"
    signs = UNICODE if encoding.lower().replace("-", "").startswith("utf") else ASCII
    text = "\n".join(
        [as_text(trace, digest=compiled.digest, signs=signs), *(f"note: {note}" for note in (*notes, *goes_first))]
    )
    if logged is not None:
        text = "\n".join([text, *_then(logged, compiled.digest)])
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def _then(logged: Logged, digest: str) -> list[str]:
    """What the line says of its own time, and what it does not say."""
    same = "this table" if logged.digest == digest else f"another table, {visible(logged.digest[:12]) or 'unknown'}"
    took = f"took route {visible(logged.route)}" if logged.route is not None else "took no route"
    return [f"logged: it {took}, by {same}", *(f"note: {visible(note)}" for note in logged.notes)]


def _explain_rule(code: str) -> None:
    info = RULES.get(code)
    if info is None:
        raise UsageError(f"there is no rule {code}; there are {', '.join(sorted(RULES))}")
    typer.echo(f"# {info.code} {info.name} ({info.severity})\n\n{info.doc.rstrip()}")


def _compiled(path: Path, *, warn: bool) -> Compiled:
    """The compiled spec. Errors, and warnings if asked to, go to standard error; an error ends the command."""
    loaded = load(path)
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    if compiled is not None:
        loaded = extended(loaded, compiled.diagnostics)
    failed = compiled is None or has_errors(loaded.diagnostics)
    if loaded.diagnostics and (failed or warn):
        shown = render_findings(loaded.diagnostics, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
        typer.echo(shown.rstrip("\n"), err=True)
    if compiled is None or failed:
        typer.echo(f"ccx: {path} is not valid", err=True)
        raise typer.Exit(Exit.FINDINGS)
    return compiled
