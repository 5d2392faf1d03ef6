"""A plan as a comment on a pull request: how it looks, that it fits, and what no name can do to it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.model import Mark
from ccx.plan.render.github import code, fenced, linked, marker, marker_start, prose
from ccx.plan.render.html import render_html
from ccx.plan.render.markdown import LEAST, Check, Section, render_failure, render_markdown
from ccx.plan.render.text import render_text
from ccx.protocols.names import Protocol
from ccx.spec.locations import Place
from tests.plan import samples

CHECKS = (Check("validate", "passed"), Check("lint", "warned", "1 warning (0 new)"), Check("tests", "failed", "40/41"))
SECTIONS = (Section("Suggested tests (2)", "```yaml\n- name: one\n```"), Section("Spec diff", "```diff\n-a\n+b\n```"))
_TEXTS = st.one_of(st.sampled_from(samples.HOSTILE), st.text(max_size=80), st.text("|`\\<@#:[*_ a", max_size=400))


def address(place: Place) -> str:
    return f"https://github.com/acme/gateway/blob/9d07e11/{place.file}#L{place.span.line}"


@pytest.mark.parametrize("sample", ["threshold", "several", "touched_only", "incomplete"])
def test_comments(sample: str, snapshot: SnapshotAssertion) -> None:
    text = render_markdown(
        samples.ALL[sample](),
        link=address,
        checks=CHECKS,
        sections=SECTIONS,
        head="9d07e11",
        at="2026-11-20T11:41:03Z",
        command="ccx plan main...HEAD",
    )
    assert text == snapshot


def test_nothing_changes_on_one_line(snapshot: SnapshotAssertion) -> None:
    text = render_markdown(samples.no_op(), head="9d07e11")
    assert text.splitlines()[1] == "### ✅ ccx plan: no request changes (proved) · 3 edits without effect"
    assert text == snapshot


def test_300_changes(snapshot: SnapshotAssertion) -> None:
    text = render_markdown(samples.many(), limit=20_000, sections=SECTIONS)
    assert len(text) <= 20_000
    assert text == snapshot


def test_terms_in_common_are_said_once() -> None:
    plan = samples.plan(
        [samples.edit("a")],
        [
            samples.moved(n, "retargeted", samples.routed("a"), samples.routed("b"), samples.region(one, samples.BAND))
            for n, one in enumerate((samples.models("x*"), samples.models("y*")))
        ],
    )
    text = render_markdown(plan)
    assert text.count("128,000") == 1
    assert "All rows: `" in text


def test_changes_that_read_the_same_are_one_row() -> None:
    one, other = samples.routed("b"), samples.routed(replace(samples.asked("b"), protocol=Protocol.CHAT))
    plan = samples.plan(
        [samples.edit("a")],
        [
            samples.moved(1, "retargeted", samples.routed("a"), one, samples.region(samples.models("x"))),
            samples.moved(2, "retargeted", samples.routed("a"), other, samples.region(samples.models("y"))),
            samples.moved(3, "retargeted", samples.routed("c"), one, samples.region(samples.models("z"))),
        ],
        marks=[Mark("tag-changed", "It does.", ("c1", "c2")), Mark("tag-changed", "It does.", ("c3", "c2"))],
    )
    text = render_markdown(plan)
    assert "**3 routing changes**" in text
    assert text.count("| 🔴") == 2
    assert text.count("2 changes alike") == 1
    assert "It does. (row 1)" in text
    assert "It does. (rows 1, 2)" in text
    assert render_text(plan, width=100, colour=False).count("2 changes alike") == 1
    assert render_html(plan).count("2 changes alike") == 1


def test_terms_are_not_common_to_regions_nobody_has_seen() -> None:
    plan = samples.plan(
        [samples.edit("a")],
        [
            samples.moved(
                1,
                "retargeted",
                samples.routed("a"),
                samples.routed("b"),
                samples.region(samples.models("x*"), samples.BAND),
                samples.region(samples.models("y*"), samples.BAND),
                more=1,
            )
        ],
    )
    assert "All rows" not in render_markdown(plan)


def test_requests_that_were_not_looked_at_are_claimed_nothing_of() -> None:
    text = render_markdown(replace(samples.threshold(), within="model ~ gpt-*"))
    assert "**looked at only** `model ~ gpt-*`" in text
    assert "Every other such request is proved unchanged" in text
    text = render_markdown(replace(samples.no_op(), within="model ~ gpt-*"))
    assert "no such request changes (proved)" in text
    assert "**looked at only** `model ~ gpt-*`" in text


def test_a_failure(snapshot: SnapshotAssertion) -> None:
    error = (
        "gateway.yaml:4:10: error: unknown key 'provder' [CCX101 unknown-key]\n   4 |   main: {provder: x}\n     |  ^^^"
    )
    assert render_failure(error, spec="gateway.yaml", checks=CHECKS, head="9d07e11") == snapshot


@pytest.mark.parametrize("error", ["e" * 100_000, "```\n" * 30_000, "\x1b[31m" * 20_000])
def test_a_long_failure_fits(error: str) -> None:
    text = render_failure(error, spec="gateway.yaml", limit=10_000)
    assert len(text) <= 10_000
    assert "left out for length" in text
    assert text.splitlines()[1].startswith("### ❌")


def test_limits_too_small_for_a_verdict_are_refused() -> None:
    with pytest.raises(ValueError, match="8000"):
        render_markdown(samples.no_op(), limit=LEAST - 1)
    with pytest.raises(ValueError, match="8000"):
        render_failure("x", spec="a", limit=10)


@pytest.mark.parametrize("limit", [LEAST, 10_000, 20_000, 60_000])
@pytest.mark.parametrize("number", [1, 30, 900])
def test_it_fits_and_keeps_verdict_and_warnings(limit: int, number: int) -> None:
    text = render_markdown(samples.many(number), limit=limit, sections=[Section("big", "x" * 50_000)], checks=CHECKS)
    assert len(text) <= limit
    assert f"**{number:,} routing change" in text
    assert "**many-routes-changed**: 100 of 120 routes changed" in text
    shown = sum(line.startswith("| 🔴") for line in text.splitlines())
    left = re.search(r"\*\*([\d,]+) more changes?\*\* not shown", text)
    assert shown + (int(left[1].replace(",", "")) if left else 0) == number


@pytest.mark.parametrize("hostile", samples.HOSTILE, ids=ascii)
def test_the_least_limit_holds_for_hostile_names_and_many_marks(hostile: str) -> None:
    marks = [
        Mark(guard, hostile * 50, ("c1",))
        for guard in ("newly-unrouted", "tag-changed", "single-target", "incomplete", "capability-lost")
        for _ in range(60)
    ]
    one = samples.hostile(hostile)
    plan = samples.plan(one.edits, one.moved, touched=one.touched * 30, marks=marks, spec=hostile)
    checks = [Check(hostile * 9, "failed", hostile * 9)] * 40
    text = render_markdown(plan, limit=LEAST, checks=checks, head=hostile, at=hostile, command=hostile * 9)
    assert len(text) <= LEAST
    assert text.count("**newly-unrouted**") >= 2
    assert "more like this" in text


@given(_TEXTS)
@example(":`:")
@settings(max_examples=60)
def test_no_name_gets_out_of_its_code(text: str) -> None:
    shown = render_markdown(samples.hostile(text), link=address, head=text, checks=[Check(text, "passed", text)])
    assert all(sign.isprintable() or sign == "\n" for sign in shown)
    first, *rest = shown.splitlines()
    assert re.fullmatch(r"<!-- [A-Za-z0-9:/.%=_~ -]+ -->", first)
    assert "--" not in first[4:-3]
    plain = outside_code("\n".join(rest))
    assert not re.search(r"@\w|(?<!&)#\w|:\w+:|https?:/|www\.", plain)
    assert set(re.findall(r"<[^>]*>?", plain)) <= {
        "<br>",
        "<sub>",
        "</sub>",
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
    }
    for line in plain.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (5, 6), line


def outside_code(text: str) -> str:
    """What a markdown renderer would look at for markup: without code, and without the addresses of links. A piece of
    code is a node of its own, which no sign beside it reaches into; so what stands for it is no letter."""
    text = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    text = re.sub(r"`[^`\n]+`", "·", text)
    text = re.sub(r"<code>[^<`|@]*</code>", "·", text)
    text = re.sub(r"\]\(<https://github\.com/[A-Za-z0-9:/?#@!$&'()*+,;=%~._-]*>\)", "]", text)
    return re.sub(r"(?m)^#+ ", "", text)


def test_code() -> None:
    assert code("gpt-*") == "`gpt-*`"
    assert code("a`b") == "<code>a&#96;b</code>"
    assert code(" a") == "<code> a</code>"
    assert code("") == "<code>&nbsp;</code>"
    assert code("a\nb") == "<code>a&#92;nb</code>"
    assert code("x" * 50, room=9) == "`xxxx…xxxx`"


def test_prose() -> None:
    assert prose("'a|b' moves to 'eu'.") == "`a|b` moves to `eu`."
    assert prose("`a*` moves, `b") == "`a*` moves, &#96;b"
    assert prose("it doesn't, and isn't") == "it doesn't, and isn't"
    assert prose("@octocat closes #1 :tada: www.x.y") == (
        "&#64;&#8203;octocat closes &#35;&#8203;1 :&#8203;tada: www&#8203;.x.y"
    )
    assert prose("https://x.y") == "https:&#8203;//x.y"
    assert prose("a <b> *c* [d](e)\n# f") == "a &#60;b&#62; &#42;c&#42; &#91;d&#93;(e) &#35;&#8203; f"
    assert len(prose("@" * 5_000, room=100)) <= 100


def test_fences_are_longer_than_what_they_hold() -> None:
    assert fenced("a\n````\nb", "sh") == "`````sh\na\n````\nb\n`````"
    assert fenced("a\x1bb") == "```\na\\x1bb\n```"


def test_links_lead_to_the_web_or_nowhere() -> None:
    assert linked("`a`", "https://x.y/a b>(|)") == "[`a`](<https://x.y/a%20b%3E(%7C)>)"
    assert linked("`a`", "javascript:alert(1)") == "`a`"
    assert linked("`a`", None) == "`a`"


def test_the_marker_is_found_again() -> None:
    assert marker("a/b.yaml", head="9d", at=None) == "<!-- ccx-plan:a/b.yaml head=9d -->"
    assert marker("x --> y", head=None, at=None).startswith(marker_start("x --> y") + " ")
    assert "-->" not in marker_start("x --> y")
