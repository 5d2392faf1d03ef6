"""A plan as a page: one well-formed file that loads nothing and runs nothing, whatever the names."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.render.html import STYLE, render_html
from tests.plan import samples
from tests.plan.picture.tables import NEW, OLD

DIFF = "--- a/gateway.yaml\n+++ b/gateway.yaml\n@@ -1,2 +1,2 @@\n routes:\n-  a: 1\n+  a: <b>2</b>\n"
_TEXTS = st.one_of(st.sampled_from(samples.HOSTILE), st.text(max_size=80), st.text("<>&\"'/= a", max_size=80))
_VOID = {"meta", "br", "col"}


class Balanced(HTMLParser):
    """Checks that every element is closed, and that nothing is fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.look(tag, attrs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.look(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def look(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        names = {name for name, _ in attrs}
        assert not names & {"src", "href", "srcset", "action", "style", "background", "xlink:href"}, (tag, attrs)
        assert not any(name.startswith("on") for name in names)


def checked(page: str) -> Element:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not parser.seen & {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"}
    return fromstring(page.removeprefix("<!DOCTYPE html>\n"))


@pytest.mark.parametrize("sample", sorted(samples.ALL))
def test_samples_are_well_formed(sample: str) -> None:
    checked(render_html(samples.ALL[sample](), tables=(OLD, NEW), diff=DIFF, command="ccx plan main...HEAD"))


def test_a_page(snapshot: SnapshotAssertion) -> None:
    assert render_html(samples.several(), diff=DIFF, command="ccx plan main...HEAD").replace(STYLE, "STYLE") == snapshot


def test_the_policy_allows_its_own_styles_and_nothing_else() -> None:
    page = render_html(samples.several(), tables=(OLD, NEW))
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert found is not None
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(styles) == 2
    hashes = [f"&#x27;sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}&#x27;" for text in styles]
    assert found[1] == (
        f"default-src &#x27;none&#x27;; style-src {' '.join(hashes)}; "
        "base-uri &#x27;none&#x27;; form-action &#x27;none&#x27;"
    )
    assert not re.findall(r"url\(|@import|expression", page)


@given(_TEXTS)
@settings(max_examples=60)
def test_names_are_text(text: str) -> None:
    root = checked(render_html(samples.hostile(text), diff=text, command=text))
    assert all(sign.isprintable() or sign == "\n" for sign in "".join(root.itertext()))


@pytest.mark.parametrize("hostile", samples.HOSTILE, ids=ascii)
def test_no_name_stands_there_unescaped(hostile: str) -> None:
    page = render_html(samples.hostile(hostile), diff=hostile, command=hostile)
    checked(page)
    if set(hostile) & set("<>\"'"):
        assert hostile not in page.replace(STYLE, "")


def test_verdicts() -> None:
    def verdict(sample: str) -> str:
        found = re.search(r"<h1>(.*)</h1>", render_html(samples.ALL[sample]()))
        assert found is not None
        return re.sub(r"<[^>]+>", "", found[1])

    assert verdict("threshold") == "1 routing change"
    assert verdict("no_op") == "No request changes (proved)"
    assert verdict("touched_only") == "No request changes (proved), 1 change to channels, clients or settings"
    assert verdict("incomplete") == "Analysis incomplete: 1 routing change found so far"


def test_an_incomplete_analysis_claims_nothing() -> None:
    assert "proved" not in render_html(samples.incomplete())


def test_marks_are_shown() -> None:
    page = render_html(samples.several())
    assert '<b class="bad">newly-unrouted</b> Requests for gpt-5-nano lose their route.' in page
    assert '<b class="warn">tag-changed</b>' in page
