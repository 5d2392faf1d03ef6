"""One YAML text to a tree of values with places. YAML 1.2 core schema, strict subset.

Laws. Never raises for any text: what is wrong is a diagnostic, and a file with an error in its YAML has no tree. Work
and memory are bounded by the limits below whatever the text says. The meaning of scalars is decided here, by the core
schema of YAML 1.2.2 (https://yaml.org/spec/1.2.2/#103-core-schema), and keys of mappings are always text, so that `on:`
and `200000:` are what they look like.

ruamel.yaml's scanner is pure Python. Where the package ruamel.yaml.clib is installed, its scanner in C (libyaml) gives
the same events some twenty times faster; it is used for text on which the two cannot differ, and whatever it refuses is
read again by the pure one, which also words the errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ccx.spec.diagnostics import Diagnostic, Related, Span, diagnostic
from ccx.spec.inline import looks_secret
from ccx.spec.locations import Scalar, Tree

MAX_DEPTH: Final = 64
MAX_ALIASED: Final = 100_000

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_MAX_DIGITS: Final = 300
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Where libyaml takes more than YAML 1.2 allows, or takes it otherwise: tabs, line ends of YAML 1.1, directives, the
# head of a block scalar run into a comment or without indentation, odd signs in the name of an anchor.
_PURE_ONLY = re.compile(
    r"[\t\x85\u2028\u2029]|\r(?!\n)|^%|^(?:---.*)?[|>]|[|>][-+0-9]*#|(?:^|[\s\[{,])[&*][A-Za-z0-9_-]*[^A-Za-z0-9_\s,\]}-]",
    re.MULTILINE,
)
_PHRASES: Final[tuple[tuple[str, str, str | None], ...]] = (
    (
        "mapping values are not allowed",
        "`: ` is not possible here",
        "a value that holds `: ` needs quotes, and the keys of one mapping need the same indentation",
    ),
    ("sequence entries are not allowed", "`- ` is not possible here", "start the list on a line of its own"),
    ("found unexpected end of stream", "the quote is never closed", "close it with the same sign that opened it"),
    ("expected ',' or ']'", "the list `[` is never closed, or a comma is missing", None),
    ("expected ',' or '}'", "the mapping `{` is never closed, or a comma is missing", None),
    ("expected <block end>", "the indentation does not fit what is above", "entries of one level start in one column"),
    ("could not find expected ':'", "a key without `:`", "write `key: value`"),
    ("found unknown escape character", "this escape does not exist in YAML", "single quotes take text as it is"),
    ("found undefined alias", "an alias of something that is not defined above", None),
)


class _Stop(Exception):
    """The rest of the text cannot be read; carries the one diagnostic that says why."""

    def __init__(self, found: Diagnostic) -> None:
        super().__init__(found.message)
        self.found = found


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "items", "key", "key_span", "mapping", "merges", "names", "spans", "start")

    def __init__(self, mapping: bool, start: Any, anchor: str | None) -> None:
        self.mapping = mapping
        self.start = start
        self.anchor = anchor
        self.items: list[Tree] = []
        self.names: dict[str, Tree] = {}
        self.spans: dict[str, Span] = {}
        self.merges: list[Tree] = []
        self.key: str | None = None
        self.key_span: Span | None = None


def decode(data: bytes, *, file: str) -> tuple[str, Diagnostic | None]:
    """The text of a file, or what is wrong with its bytes."""

    def wrong(line: int, col: int, message: str, advice: str) -> tuple[str, Diagnostic]:
        span = Span(line, col, line, col)
        return "", diagnostic("CCX111", message, file=file, span=span, help=advice)

    save = "save the file as UTF-8 without a byte order mark"
    if data.startswith(b"\xef\xbb\xbf"):
        return wrong(1, 1, "the file starts with a byte order mark", save)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return wrong(1, 1, "the file is UTF-16", save)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8")
        lines = re.split("\r\n|\n|\r", good)
        return wrong(len(lines), len(lines[-1]) + 1, f"byte 0x{data[error.start]:02x} is not UTF-8", save)
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        lines = re.split("\r\n|\n|\r", text[: bad.start()])
        what = "a NUL character" if bad[0] == "\0" else f"the control character U+{ord(bad[0]):04X}"
        return wrong(len(lines), len(lines[-1]) + 1, f"the file holds {what}", "remove it; a spec is plain text")
    return text, None


def compose(text: str, *, file: str) -> tuple[Tree | None, tuple[Diagnostic, ...]]:
    """The tree of one YAML document and what is wrong with it. Empty text has no tree and no diagnostic."""
    if _PURE_ONLY.search(text) is None:
        try:
            return _Composer(file).run(YAML(typ="safe", pure=False).parse(text))
        except (YAMLError, ValueError, OverflowError):
            pass  # the pure scanner decides, and words the error
    composer = _Composer(file)
    try:
        return composer.run(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        return None, (*composer.found, _syntax(error, text, file=file))
    except (YAMLError, ValueError, OverflowError):
        # Escapes beyond Unicode reach chr() unchecked; the scanner is then at the place.
        here = composer.last
        span = Span(here[0] + 1, here[1] + 1, here[0] + 1, here[1] + 1)
        return None, (
            *composer.found,
            diagnostic("CCX100", "an escape that is no character follows this", file=file, span=span),
        )


def _syntax(error: MarkedYAMLError, text: str, *, file: str) -> Diagnostic:
    problem = str(error.problem or error.context or "this is not YAML")
    mark = error.problem_mark or error.context_mark
    line, col = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = re.split("\r\n|\n|\r", text)
    source = lines[line] if line < len(lines) else ""
    span = Span(line + 1, col + 1, line + 1, col + 1 + (1 if col < len(source) else 0))
    related: tuple[Related, ...] = ()
    start = error.context_mark
    if ("end of stream" in problem or "<stream end>" in problem) and start is not None:
        # Where it should have ended no one knows; where it began is what one looks for.
        line, col = start.line, start.column
        span = Span(line + 1, col + 1, line + 1, col + 2)
    if start is not None and (start.line, start.column) < (line, col):
        at = Span(start.line + 1, start.column + 1, start.line + 1, start.column + 2)
        related = (Related(at, file, "it starts here"),)
    indentation = source[: len(source) - len(source.lstrip(" \t"))]
    if "\t" in indentation:
        at = Span(line + 1, indentation.index("\t") + 1, line + 1, len(indentation) + 1)
        return diagnostic(
            "CCX100", "a tab in the indentation", file=file, span=at, help="YAML indents with spaces; use two per level"
        )
    if "cannot start any token" in problem and col < len(source):
        return diagnostic(
            "CCX100",
            f"a value cannot start with {source[col]!r}",
            file=file,
            span=span,
            help="put the value in quotes",
        )
    for phrase, message, advice in _PHRASES:
        if problem.startswith(phrase):
            return diagnostic("CCX100", message, file=file, span=span, help=advice, related=related)
    return diagnostic("CCX100", problem.replace("<stream end>", "end of file"), file=file, span=span, related=related)


class _Composer:
    """Reads the events of one document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Diagnostic] = []
        self.last = (0, 0)  # line and column, from 0, where the last event ended
        self.anchors: dict[str, Tree] = {}
        self.open: set[str] = set()
        self.frames: list[_Frame] = []
        self.root: Tree | None = None
        self.documents = 0
        self.aliased = 0

    def run(self, events: Iterator[Any]) -> tuple[Tree | None, tuple[Diagnostic, ...]]:
        try:
            for event in events:
                self.take(event)
        except _Stop as stop:
            return None, (*self.found, stop.found)
        root = self.root
        if root is not None and root.content is None and root.span == Span(*(root.span.line, root.span.col) * 2):
            return None, tuple(self.found)
        return root, tuple(self.found)

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self.scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self.begin(event, kind is MappingStartEvent)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self.end(event)
        elif kind is AliasEvent:
            self.alias(event)
        elif kind is DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                self.refuse(event, "a second document", "a spec is one document; use `include` for more files")
            if event.version is not None or event.tags:
                self.refuse(event, "a YAML directive", "remove the line that starts with `%`")
        if kind is not ScalarEvent or event.value or not event.implicit[0]:
            self.last = (event.end_mark.line, event.end_mark.column)

    def refuse(self, event: Any, what: str, advice: str, *, code: str = "CCX112") -> None:
        message = what if code != "CCX112" else f"{what} is not part of the spec language"
        raise _Stop(diagnostic(code, message, file=self.file, span=_span(event), help=advice))

    def scalar(self, event: Any) -> None:
        if event.tag is not None:
            self.refuse(event, f"the tag {_tag(event.tag)}", "remove it; quotes make any value text")
        frame = self.frames[-1] if self.frames else None
        text: str = event.value
        if event.style == '"' and _SURROGATE.search(text):
            self.refuse(event, "an escape that is no character", "surrogates are not text", code="CCX100")
        plain: bool = event.implicit[0] and not event.style
        if plain and not text:
            # The two scanners disagree on where nothing stands; it stands where the last thing ended.
            line, col = self.last
            span = Span(line + 1, col + 1, line + 1, col + 1)
        else:
            span = _span(event)
        if frame is not None and frame.mapping and frame.key is None:
            if event.anchor is not None:
                self.anchors[event.anchor] = Tree(text, self.file, span)
            frame.key, frame.key_span = text, span
            return
        value: Scalar = text
        if plain:
            value = self.resolve(text, span)
        self.put(Tree(value, self.file, span, None, plain), event.anchor)

    def resolve(self, text: str, span: Span) -> Scalar:
        """What a plain scalar means in the core schema of YAML 1.2."""
        first = text[:1]
        if first.isalpha() and first not in "tTfFnN":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                self.found.append(
                    diagnostic(
                        "CCX110",
                        f"a number of {len(text)} digits",
                        file=self.file,
                        span=span,
                        help="no number of a spec is that large",
                    )
                )
                return 0
            digits = text.lstrip("+-")
            if len(digits) > 1 and digits.startswith("0") and not set(digits) & {"8", "9"} and int(digits) > 7:
                self.found.append(
                    diagnostic(
                        "CCX106",
                        f"{text} is {int(text)} here, and YAML 1.1 read it as {int(digits, 8)}",
                        file=self.file,
                        span=span,
                        help="write the number without leading zeros, or in quotes if it is text",
                        severity="warning",
                    )
                )
            return int(text)
        if _OCTAL.fullmatch(text) and len(text) <= _MAX_DIGITS:
            return int(text, 0)
        if _HEX.fullmatch(text) and len(text) <= _MAX_DIGITS:
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text

    def begin(self, event: Any, mapping: bool) -> None:
        if event.tag is not None:
            self.refuse(event, f"the tag {_tag(event.tag)}", "remove it; quotes make any value text")
        if self.frames and self.frames[-1].mapping and self.frames[-1].key is None:
            self.refuse(
                event,
                "a list or mapping as a key",
                "keys are text; a value with `{` or `[` needs quotes, and there are no templates",
            )
        if len(self.frames) >= MAX_DEPTH:
            self.refuse(event, f"nested deeper than {MAX_DEPTH} levels", "flatten it", code="CCX115")
        if event.anchor is not None:
            self.open.add(event.anchor)
        self.frames.append(_Frame(mapping, event.start_mark, event.anchor))

    def end(self, event: Any) -> None:
        frame = self.frames.pop()
        start = frame.start
        flow = event.end_mark.index > event.start_mark.index
        # A block collection "ends" where the next token is found; it is said to end where its last entry does.
        line, col = (event.end_mark.line, event.end_mark.column) if flow else self.close(frame)
        span = Span(start.line + 1, start.column + 1, line + 1, col + 1)
        children = frame.names.values() if frame.mapping else frame.items
        if frame.mapping and frame.merges:
            self.merge(frame)
            children = frame.names.values()
        size, height = 1, 0
        for child in children:
            size += child.size
            height = max(height, child.height + 1)
        content = frame.names if frame.mapping else tuple(frame.items)
        if frame.anchor is not None:
            self.open.discard(frame.anchor)
        keys = frame.spans if frame.mapping else None
        self.put(Tree(content, self.file, span, keys, False, size, height), frame.anchor)

    def close(self, frame: _Frame) -> tuple[int, int]:
        """Line and column, from 0, where the last entry of a block collection ends."""
        line, col = self.last
        return (line, col) if (line, col) >= (frame.start.line, frame.start.column) else (frame.start.line, 0)

    def merge(self, frame: _Frame) -> None:
        """`<<`: what is merged stands first and gives way to what is written here; of several, the first wins."""
        names: dict[str, Tree] = {}
        spans: dict[str, Span] = {}
        for tree in frame.merges:
            if isinstance(tree.content, dict):
                for key, child in tree.content.items():
                    if key not in names:
                        names[key] = child
                        spans[key] = (tree.keys or {})[key]
        frame.names = {**names, **frame.names}
        frame.spans = {**spans, **frame.spans}

    def alias(self, event: Any) -> None:
        name = event.anchor
        if self.frames and self.frames[-1].mapping and self.frames[-1].key is None:
            self.refuse(event, "an alias as a key", "write the key out")
        if name in self.open:
            self.refuse(event, f"`*{name}` inside `&{name}` itself", "an alias stands for something that is complete")
        tree = self.anchors.get(name)
        if tree is None:
            advice = f"define it above with `&{name}`, or quote the value if the `*` is a wildcard"
            self.refuse(event, f"nothing is called `&{name}` above", advice, code="CCX100")
            return
        self.aliased += tree.size
        if self.aliased > MAX_ALIASED:
            self.refuse(event, f"aliases make more than {MAX_ALIASED:,} values", "use fewer", code="CCX115")
        levels = tree.height + 1 if isinstance(tree.content, dict | tuple) else 0
        if len(self.frames) + levels > MAX_DEPTH:
            self.refuse(event, f"nested deeper than {MAX_DEPTH} levels", "flatten it", code="CCX115")
        self.put(tree, None)

    def put(self, tree: Tree, anchor: str | None) -> None:
        """Give a finished value to the collection around it."""
        if anchor is not None:
            self.anchors[anchor] = tree
        if not self.frames:
            self.root = tree
            return
        frame = self.frames[-1]
        if not frame.mapping:
            frame.items.append(tree)
            return
        key, span = frame.key, frame.key_span
        frame.key = frame.key_span = None
        if key is None or span is None:
            raise AssertionError("a value without its key")
        if key == "<<":
            self.take_merge(tree, span)
        elif key in frame.names:
            first = frame.spans[key]
            shown = "a key that looks like a secret" if looks_secret(key) else repr(key)
            self.found.append(
                diagnostic(
                    "CCX107",
                    f"{shown} is written twice in one mapping, on line {first.line} and on line {span.line}",
                    file=self.file,
                    span=span,
                    help="keep one of the two",
                    related=(Related(first, self.file, "first written here"),),
                )
            )
        else:
            frame.names[key] = tree
            frame.spans[key] = span

    def take_merge(self, tree: Tree, span: Span) -> None:
        sources = tree.content if isinstance(tree.content, tuple) else (tree,)
        for source in sources:
            if not isinstance(source.content, dict):
                message = "`<<` merges mappings, and this is none"
                raise _Stop(
                    diagnostic("CCX112", message, file=self.file, span=span, help="write `<<: *name` of a mapping")
                )
        self.frames[-1].merges.extend(sources)


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    line, col = end.line, end.column
    if col == 0 and line > start.line:
        # A block scalar ends at the start of the line after it; its own last line says more.
        return Span(start.line + 1, start.column + 1, line + 1, 1)
    return Span(start.line + 1, start.column + 1, line + 1, col + 1)


def _tag(tag: str) -> str:
    return "!!" + tag.removeprefix("tag:yaml.org,2002:") if tag.startswith("tag:yaml.org,2002:") else tag
