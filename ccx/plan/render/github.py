"""Text in GitHub's markdown, where a name is shown and never obeyed.

Law: names come from a stranger's pull request. A name neither ends its table cell nor its code span, mentions nobody,
links nowhere, becomes no picture and no HTML. Rules: https://github.github.com/gfm/ and, for what GitHub makes of the
rendered text (mentions, issues, emoji), https://docs.github.com/get-started/writing-on-github
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from ccx.plan.render.cells import elided, visible
from ccx.plan.render.words import quotations

_PLAIN: Final = re.compile(r"[^`\\\s](?:[^`\\]*[^`\\\s])?")
_TAME: Final = frozenset(" .,()%'\"/=+;?-→▸…·")
_APART: Final = "&#8203;"
"""A space without width: it keeps a sign that GitHub looks for away from what would make it one."""


def code(text: str, *, room: int = 400) -> str:
    """A name or value as code. The middle of what is longer than `room` is left out."""
    shown = elided(visible(text), room)
    if _PLAIN.fullmatch(shown):
        return f"`{shown}`"
    return f"<code>{entities(shown)}</code>" if shown.strip() else f"<code>{'&nbsp;' * max(len(shown), 1)}</code>"


def table_row(cells: Iterable[str]) -> str:
    """Cells as a row of a table. What is in them came from `code` and `prose`: a bar can only stand in a code span
    without a backslash, where `\\|` is a bar."""
    inside = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(inside)} |"


def entities(text: str) -> str:
    """Every sign that means something to markdown or HTML as a character reference."""
    return "".join(
        sign if sign.isalnum() or sign in " -.,/=" or not sign.isascii() else f"&#{ord(sign)};" for sign in text
    )


def prose(text: str, *, room: int = 600) -> str:
    """A sentence that may quote names: those in backticks or single quotes become code, the rest is only read. `room`
    bounds what comes out."""
    spaces = " ".join(visible(text.replace("\n", " ")).split())
    size = room
    while True:
        shown = _prose(elided(spaces, size))
        if len(shown) <= room or size <= 8:
            return shown
        size = size * 3 // 4


def _prose(text: str) -> str:
    return "".join(code(part) if quoted else _sentence(part) for part, quoted in quotations(text))


def _sentence(text: str) -> str:
    shown: list[str] = []
    for place, sign in enumerate(text):
        after = text[place + 1 : place + 2]
        if sign in "@#":
            shown.append(f"&#{ord(sign)};{_APART}")
        elif sign == ":" and after.strip():
            shown.append(f":{_APART}")
        elif sign == "." and text[max(place - 3, 0) : place].lower() == "www":
            shown.append(f"{_APART}.")
        elif sign.isalnum() or sign in _TAME or sign == ":" or not sign.isascii():
            shown.append(sign)
        else:
            shown.append(f"&#{ord(sign)};")
    return "".join(shown)


def fenced(text: str, language: str = "") -> str:
    """A block of code. Lines stay lines; whatever else is not printable is shown."""
    body = "\n".join(visible(line) for line in text.splitlines())
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def details(title: str, body: str) -> str:
    """A part that opens on a click. Both are markdown already."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def linked(shown: str, url: str | None) -> str:
    """The text as a link, if the address is one of the web."""
    if url is None or not url.startswith(("https://", "http://")):
        return shown
    return f"[{shown}](<{quote(url, safe=_SAFE_IN_URL)}>)"


_SAFE_IN_URL: Final = ":/?#@!$&'()*+,;=%~-._"


def marker(spec: str, *, head: str | None, at: str | None) -> str:
    """The hidden first line by which a comment is found again, and an older run known as older."""
    parts = [f"{marker_start(spec)}"]
    parts += [f"{key}={_token(value)}" for key, value in (("head", head), ("at", at)) if value is not None]
    return " ".join([*parts, "-->"])


def marker_start(spec: str) -> str:
    """What the marker of a spec's comment begins with; up to the next space it is the same in every run."""
    return f"<!-- ccx-plan:{_token(spec)}"


def _token(text: str) -> str:
    # "--" would end the comment early in some parsers; nothing else that is left can.
    return quote(elided(text, 400, cut=".."), safe="/:.", errors="replace").replace("--", "%2D%2D")
