"""A plan laid out for where it is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Final, Literal, assert_never, cast, get_args

from ccx.cli.destination import Wanted
from ccx.plan.json import render_json
from ccx.plan.model import Plan

if TYPE_CHECKING:
    from ccx.plan.render.markdown import Section
    from ccx.plan.replay.result import Replay
    from ccx.routing.table import RoutingTable

Format = Literal["text", "markdown", "json", "html"]
OUTPUTS: Final[tuple[str, ...]] = get_args(Format)


def rendered(
    found: Plan,
    destination: Wanted,
    *,
    traffic: Replay | None = None,
    tables: tuple[RoutingTable, RoutingTable] | None = None,
) -> str:
    """The plan in the format asked for, as wide and colourful as its destination takes. `traffic` is a replay of logged
    requests through both sides: a further part of the text, a section of the comment, and `replay` in the JSON.
    `tables` are both sides, for the page's picture."""
    format_ = cast(Format, destination.format)
    match format_:
        case "text":
            return _text(found, destination, traffic)
        case "markdown":
            from ccx.plan.render.markdown import render_markdown  # noqa: PLC0415 - only for this output

            return render_markdown(found, sections=() if traffic is None else (_section(traffic),))
        case "json":
            return render_json(found) if traffic is None else _with_traffic(found, traffic)
        case "html":
            from ccx.plan.render.html import render_html  # noqa: PLC0415 - only for this output

            return render_html(found, tables=tables)
        case _:
            assert_never(format_)


def _section(traffic: Replay) -> Section:
    from ccx.plan.render.markdown import Section  # noqa: PLC0415 - only for this output
    from ccx.plan.replay.render_markdown import body, title  # noqa: PLC0415 - likewise

    return Section(title(traffic), body(traffic))


def _with_traffic(found: Plan, traffic: Replay) -> str:
    from ccx.plan.json import as_data  # noqa: PLC0415 - only for this output
    from ccx.plan.replay.render_json import as_data as traffic_data  # noqa: PLC0415 - likewise

    data = {**as_data(found), "replay": traffic_data(traffic)}
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _text(found: Plan, destination: Wanted, traffic: Replay | None) -> str:
    from ccx.plan.render.text import render_text  # noqa: PLC0415 - only for this output

    terminal = destination.file is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 100
    colour = terminal and "NO_COLOR" not in os.environ
    encoding = sys.stdout.encoding or "ascii"
    unicode = destination.file is not None or encoding.lower().replace("-", "").startswith("utf")
    text = render_text(found, width=width, colour=colour, unicode=unicode)
    if traffic is None:
        return text
    from ccx.plan.render.cells import ASCII, UNICODE  # noqa: PLC0415 - only for a replay
    from ccx.plan.replay.render_text import render_text as traffic_text  # noqa: PLC0415 - likewise

    signs = UNICODE if unicode else ASCII
    return f"{text}\n{traffic_text(traffic, width=width, colour=colour, signs=signs)}"
