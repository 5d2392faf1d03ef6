"""`ccx demo`: the demo upstream on a port."""

from __future__ import annotations

import logging
import re
from typing import Annotated

import typer
import uvicorn

from ccx.upstream.demo import behaviour
from ccx.upstream.demo.app import DemoApp

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_WORDS = behaviour.__doc__ or ""

app = typer.Typer()


def duration(text: str) -> float:
    """Seconds, from `20ms` or `1.5s`. Raises typer.BadParameter."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 20ms or 1.5s")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def _expected(record: logging.LogRecord) -> bool:
    """Whether a log record is worth showing: a connection that was cut on purpose is not."""
    return "without completing response" not in record.getMessage()


@app.command(
    help="Run the built-in demo upstream: Anthropic Messages, OpenAI Chat, Responses, Embeddings and Images, and"
    " Google Gemini, on one port, without a key. It answers, streams, calls tools, and fails when told to."
    "\n\n" + _WORDS.replace("\n\n    ", "\n\n\b\n    "),
)
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 9100,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Anyone who reaches it may use it.")
    ] = "127.0.0.1",
    delay: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="A pause before each piece of an answer.")
    ] = "0ms",  # type: ignore[assignment]  # typer parses the default as it does what is typed
) -> None:
    """Serve until interrupted."""
    logging.getLogger("uvicorn.error").addFilter(_expected)
    config = uvicorn.Config(
        DemoApp(delay=delay),
        host=host,
        port=port,
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,  # a stalled answer never ends by itself
    )
    uvicorn.Server(config).run()
