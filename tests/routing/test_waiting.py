"""Queues and overload of the spec in the table: what is inherited, what is usual, and how it reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from ccx.plan.readable import channel_fields, server_fields
from ccx.routing.canonical import digest, table_json
from ccx.routing.compile import compile_spec
from ccx.routing.decode import table_of
from ccx.routing.table import Overload, Queue, RoutingTable
from ccx.spec.document import Spec


def table(channel: dict[str, Any], defaults: dict[str, Any] | None = None, **server: Any) -> RoutingTable:
    raw = {
        "version": "ccx/v1",
        "server": server,
        "defaults": {"channel": defaults or {}},
        "channels": {"a": {"provider": "demo", **channel}},
    }
    compiled = compile_spec(Spec.model_validate(raw))
    assert compiled.servable, compiled.diagnostics
    assert table_of(table_json(compiled.table)) == compiled.table
    return compiled.table


@pytest.mark.parametrize(
    ("own", "inherited", "found"),
    [
        (None, None, None),
        ({}, None, Queue(100, 10_000)),
        (None, {"wait": "3s"}, Queue(100, 3_000)),
        ({"size": 5}, {"wait": "3s", "size": 9}, Queue(5, 3_000)),
        ("off", {"wait": "3s"}, None),
        ({"size": 5}, "off", Queue(5, 10_000)),
    ],
)
def test_a_queue_is_inherited_field_by_field(own: Any, inherited: Any, found: Queue | None) -> None:
    made = table(
        {"queue": own} if own is not None else {}, {"queue": inherited} if inherited is not None else {}
    ).channel("a")
    assert made.queue == found
    fields = {path: text for path, text in channel_fields(made).items() if path[0] == "queue"}
    assert (("queue", "wait") in fields) == (found is not None)


@pytest.mark.parametrize("queue", [{"size": 0}, {"wait": "0s"}, {"wait": 10}, {"length": 3}])
def test_a_queue_of_nothing_is_a_mistake(queue: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table({"queue": queue})


def test_what_is_usual_leaves_the_digest_alone() -> None:
    usual = table({})
    assert usual.server.overload == Overload(250, Fraction(4, 5))
    assert digest(table({}, overload={"lag": "250ms"})) == digest(usual)
    assert digest(table({"queue": "off"}, overload={"memory": "80%"})) == digest(usual)
    assert b"overload" not in table_json(usual)
    assert digest(table({}, overload={"lag": "1s"})) != digest(usual)


def test_overload_reads_as_it_is_written() -> None:
    assert not [path for path in server_fields(table({})) if path[0] == "overload"]
    assert server_fields(table({}, overload="off"))["overload",] == "off"
    assert table({}, overload=False).server.overload is None
    fields = server_fields(table({}, overload={"memory": "60%"}))
    assert (fields["overload", "lag"], fields["overload", "memory"]) == ("250ms", "60%")


@pytest.mark.parametrize("overload", [{"memory": "0%"}, {"memory": "101%"}, {"lag": "1ms"}, {"cpu": "80%"}])
def test_overload_that_is_none_is_a_mistake(overload: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table({}, overload=overload)
