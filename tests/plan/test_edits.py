"""Edits by meaning, read off two specs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.edits import Compared, edits
from ccx.plan.model import Edit
from ccx.plan.readable import (
    channel_fields,
    client_fields,
    duration,
    number,
    percent,
    route_fields,
    size,
    tokens,
)
from ccx.routing.canonical import digest
from ccx.spec.scalars import parse_duration, parse_range
from tests.plan.specs import CLAUDE, EDITS, SPEC, edited, side

OLD = side(SPEC, "old")


def said(edit: Edit) -> str:
    was = f" (was {edit.was})" if edit.was else ""
    place = f"  {edit.place.file}:{edit.place.span.line}:{edit.place.span.col}" if edit.place else ""
    lines = [f"{edit.operation} {edit.kind} {edit.name}{was}{place}"]
    return "\n".join([*lines, *(f"  {one.path}: {one.before} -> {one.after}" for one in edit.fields)])


def between(old: str, new: str) -> list[str]:
    return [said(edit) for edit in edits(side(old), side(new)).listed]


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_reads_as_what_was_done(name: str, snapshot: SnapshotAssertion) -> None:
    assert "\n".join(between(SPEC, edited(name))) == snapshot


def test_the_same_spec_has_no_edits() -> None:
    assert edits(OLD, side(SPEC)) == edits(OLD, OLD)
    assert not edits(OLD, OLD).listed


def test_everything_is_added_to_nothing_and_removed_again() -> None:
    bare = "version: ccx/v1\nchannels: {lab: {provider: demo}}\nroutes: [{name: rest, to: [lab]}]\n"
    assert {edit.operation for edit in edits(side(bare), OLD).listed} == {"add", "edit"}
    back = edits(OLD, side(bare)).listed
    assert {edit.name for edit in back if edit.operation == "remove"} >= {"evals", "anthropic", "team-a", "qwen3-coder"}
    assert all(edit.place is not None for edit in back if edit.kind != "defaults")


def listing(names: list[str], **bodies: str) -> str:
    lines = ["version: ccx/v1", "channels: {a: {provider: demo}, b: {provider: demo}}", "routes:"]
    lines += [f"  - {{name: {name}, when: {{model: {bodies.get(name, name)}}}, to: [a]}}" for name in names]
    return "\n".join(lines) + "\n"


@given(st.permutations([f"r{place}" for place in range(7)]))
def test_the_fewest_routes_are_moved(order: list[str]) -> None:
    old = [f"r{place}" for place in range(7)]
    moved = {edit.name for edit in edits(side(listing(old)), side(listing(order))).listed}
    assert [name for name in order if name not in moved] == [name for name in old if name not in moved]
    rises = [
        mask
        for mask in range(2**7)
        if (kept := [name for place, name in enumerate(order) if mask >> place & 1]) == sorted(kept)
    ]
    assert len(moved) == 7 - max(mask.bit_count() for mask in rises)


def test_a_rename_is_not_a_removal_and_an_addition() -> None:
    assert between(listing(["r0", "r1"]), listing(["r0", "new"], new="r1")) == [
        "rename route new (was r1)  ccx.yaml:5:6"
    ]
    # Of two that are alike, each has its own new name.
    old, new = listing(["r0", "r1"], r0="x", r1="x"), listing(["s0", "s1"], s0="x", s1="x")
    assert [edit.was for edit in edits(side(old), side(new)).listed] == ["r0", "r1"]
    # Renamed and moved are two edits.
    found = edits(side(listing(["r0", "r1", "r2"])), side(listing(["r1", "r2", "new"], new="r0"))).listed
    assert [(edit.name, edit.operation) for edit in found] == [("new", "rename"), ("new", "move")]


def test_a_removal_stands_where_the_route_stood() -> None:
    found = edits(side(listing(["r0", "r1", "r2"])), side(listing(["r0", "x", "r2"]))).listed
    assert [(edit.name, edit.operation) for edit in found] == [("r1", "remove"), ("x", "add")]


def test_what_is_inherited_is_an_edit_of_defaults() -> None:
    old = SPEC.replace("    to: [openai]\n", "    to: [openai]\n    failover: {attempts: 3}\n")
    found = edits(
        side(old), side(old.replace("failover: {attempts: 3}\n  channel", "failover: {attempts: 5}\n  channel"))
    )
    assert [(edit.kind, [one.path for one in edit.fields]) for edit in found.listed] == [
        ("defaults", ["failover.attempts"])
    ]
    assert ("route", "gpt") not in found.inheriting
    assert ("route", "rest") in found.inheriting
    # The route's own word of what it inherited before is the route's edit.
    found = edits(side(SPEC), side(old.replace("    failover: {attempts: 3}", "    failover: {attempts: 4}")))
    assert [(edit.kind, edit.name) for edit in found.listed] == [("route", "gpt")]
    # Without texts nobody can tell.
    bare = [replace(one, locations=None) for one in (OLD, side(edited("defaults")))]
    assert {edit.kind for edit in edits(*bare).listed} == {"route", "channel"}


def test_the_order_of_channels_is_one_where_no_route_is() -> None:
    old = "version: ccx/v1\nchannels: {a: {provider: demo}, b: {provider: demo}}\n"
    new = "version: ccx/v1\nchannels: {b: {provider: demo}, a: {provider: demo}}\n"
    assert between(old, new) == ["reorder channel channels\n  order: a ▸ b -> b ▸ a"]


def test_every_part_of_a_table_has_its_line() -> None:
    """Whatever changes a digest is an edit."""
    for old, new in (
        ("server: {direct: false}", "server: {direct: false, listen: 127.0.0.1:4000, max_body: 1MiB, cors: ['*']}"),
        ("server: {direct: false}", "server: {direct: false, rollback: {window: 5m}}"),
        ("server: {direct: false}", "server: {direct: false, rollback: {first_byte: +50%}}"),
        ("server: {direct: false}", "server: {direct: false, canary: {share: 20%, for: 5m}}"),
        ("server: {direct: false}", "server: {direct: false}\nadmin: {key: {env: ADMIN}, dashboard: false}"),
        ("server: {direct: false}", "server: {direct: false}\nstate: {redis: {url: {env: REDIS}}}"),
        ("server: {direct: false}", "server: {direct: false}\ntelemetry: {logs: {bodies: all}, metrics: none}"),
        ("server: {direct: false}", "server: {direct: false}\ntelemetry: {traces: {otlp: 'http://h:1'}}"),
        ("server: {direct: false}", "server: {direct: false}\ntelemetry: {usage: {store: u.db}, logs: {file: x.log}}"),
        ("to: [openai]", "to: [openai]\n    request: {set: {a: 1}, drop: [b], cap: {max_output_tokens: 5}}"),
        ("to: [openai]", "to: [openai]\n    request: {default: {a: 1}, system: {prefix: x, replace: y}}"),
        ("to: [openai]", "to: [openai]\n    cache: {ttl: 1m}\n    on_loss: reject"),
        ("to: [openai]", "to: [openai]\n    failover: {on: [auth], deadline: 9s, backoff: {jitter: none, max: 1s}}"),
        (
            "    provider: gemini\n",
            "    provider: gemini\n    limits: {requests: 5/s, concurrency: 2}\n    prefix: g\n",
        ),
        ("    provider: gemini\n", "    provider: gemini\n    breaker: off\n    http2: true\n    proxy: {env: P}\n"),
        ("    provider: gemini\n", "    provider: gemini\n    breaker: {error_rate: 12.5%}\n    tls: {ca: ca.pem}\n"),
        ("    provider: gemini\n", "    provider: gemini\n    headers: {set: {x-a: b}, remove: [x-c]}\n"),
        ("{env: OPENAI_A}", "{env: OPENAI_A, weight: 3, limits: {requests: 5/min}}"),
        ("provider: openai, keys", "provider: openai, key_strategy: in_order, auth: api-key, keys"),
        ("    tags: {team: core}", "    tags: {team: core}\n    limits: {requests: 1/s}\n    budget: {usd: 5}\n"),
        ("    tags: {team: core}", "    tags: {team: core}\n    direct: true\n    expires: 2030-01-01\n"),
        ("price: {input: 0.10, output: 0.40}", "price: {input: 0.10, output: 0.40, above: {32k: {input: 1}}}"),
        ('when: {model: "gpt-*"}', "when: {any: [{stream: true}, {header: {x: y}}], not: {tag: {team: z}}}"),
        ('when: {model: "gpt-*"}', "when: {body: {metadata.tier: [gold, 3]}, prefix: p, server_tools: web_*}"),
        ('when: {model: "gpt-*"}', 'when: {input_tokens: ["< 5", "10..20"], thinking: true, protocol: chat}'),
    ):
        text = SPEC.replace(old, new)
        assert text != SPEC, old
        changed = side(text)
        assert digest(changed.compiled.table) != OLD.compiled.digest
        found = edits(OLD, changed).listed
        assert found, new
        assert all(edit.fields for edit in found), new


def test_what_a_preset_brings_is_not_lost_without_words() -> None:
    table = OLD.compiled.table
    channels = tuple(replace(one, dialect="other") if one.name == "lab" else one for one in table.channels)
    new = Compared(replace(OLD.compiled, table=replace(table, channels=channels)), "gateway")
    (edit,) = edits(OLD, new).listed
    assert (edit.name, [(one.path, one.after) for one in edit.fields]) == ("lab", [("dialect", "other")])


def test_secrets_and_long_texts_are_not_shown() -> None:
    secret = "sk-ant-" + "a1B2" * 12
    table = OLD.compiled.table
    channel = replace(table.channels[0], set_headers=(("x-key", secret),), proxy="http://user:pw@proxy:1")
    assert secret not in repr(channel_fields(channel))
    assert "pw" not in repr(channel_fields(channel))
    assert "2222222222" not in repr([client_fields(client) for client in table.clients])
    one, two = ("x" * 500 + end for end in "ab")
    old = SPEC.replace("to: [openai]\n", f"to: [openai]\n    request: {{system: {{prefix: {one}}}}}\n")
    new = SPEC.replace("to: [openai]\n", f"to: [openai]\n    request: {{system: {{prefix: {two}}}}}\n")
    (edit,) = edits(side(old), side(new)).listed
    (field,) = edit.fields
    assert field.before is not None
    assert field.after is not None
    assert field.before != field.after
    assert len(field.after) < 160


def test_places_are_those_of_the_changed_value() -> None:
    new = side(edited("threshold moved"))
    (edit,) = edits(OLD, new).listed
    assert edit.place is not None
    lines = edited("threshold moved").splitlines()
    assert lines[edit.place.span.line - 1][edit.place.span.col - 1 :].startswith("input_tokens")
    (gone,) = edits(OLD, side(SPEC.replace(CLAUDE, ""))).listed
    assert gone.place is not None
    assert "name: claude" in SPEC.splitlines()[gone.place.span.line - 1]


@given(st.integers(0, 3_000_000), st.integers(1, 3_000_000) | st.none())
def test_ranges_read_as_they_are_written(low: int, width: int | None) -> None:
    high = low + width if width is not None else None
    text = tokens(low, high).replace(",", "")
    assert parse_range(text) == (low, high)


@given(st.integers(1, 10**9))
def test_durations_read_as_they_are_written(milliseconds: int) -> None:
    assert parse_duration(duration(milliseconds)) == milliseconds


def test_words() -> None:
    assert (tokens(200_001, None), tokens(200_000, None), tokens(0, 8_001)) == ("> 200k", ">= 200k", "<= 8k")
    assert (number(1_234), number(2_000_000), size(50 * 2**20), size(1000)) == ("1,234", "2M", "50MiB", "1,000")
    assert (duration(0), percent(side(SPEC).compiled.table.channels[0].breaker.error_rate)) == ("0ms", "50%")  # type: ignore[union-attr] # the breaker is on by default
    assert route_fields(OLD.compiled.table.routes[-1])["to", 0] == "anthropic"
