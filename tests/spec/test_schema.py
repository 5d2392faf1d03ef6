"""The JSON Schema: fresh, legal, and of one mind with the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from ccx.spec.document import Spec
from ccx.spec.locations import Tree
from ccx.spec.schema import (
    FILE_NAME,
    SUITE_FILE_NAME,
    JsonObject,
    embedded,
    embedded_text,
    generate,
    generate_suite,
    render,
)
from ccx.spec.shape import check_shape
from ccx.spec.validate import load

REPOSITORY = Path(__file__).parents[2]
SCHEMA = Draft7Validator(embedded())
REFRESH = "run: python -m ccx.spec.schema"


@pytest.mark.parametrize(("file", "schema"), [(FILE_NAME, generate()), (SUITE_FILE_NAME, generate_suite())])
def test_both_copies_are_fresh(file: str, schema: JsonObject) -> None:
    assert embedded_text(file) == render(schema), REFRESH
    assert (REPOSITORY / "schema" / file).read_text(encoding="utf-8") == embedded_text(file), REFRESH


def test_a_test_file_says_what_a_spec_says() -> None:
    ours, theirs = embedded(SUITE_FILE_NAME), embedded()
    Draft7Validator.check_schema(ours)
    assert {**theirs["definitions"], **ours["definitions"]} == theirs["definitions"]
    for section in ("tests", "invariants", "coverage"):
        assert ours["properties"][section].get("items") == theirs["properties"][section].get("items")
    assert list(Draft7Validator(ours).iter_errors(ours["examples"][0])) == []


def test_it_is_a_legal_draft_07_schema_without_later_words() -> None:
    Draft7Validator.check_schema(embedded())
    text = embedded_text()
    for word in ("$defs", "prefixItems", "unevaluatedProperties", "dependentRequired"):
        assert f'"{word}"' not in text
    assert embedded()["$schema"] == "http://json-schema.org/draft-07/schema#"


def objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [one for item in node for one in objects(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(one for item in node.values() for one in objects(item))]


def test_every_mapping_is_closed_and_every_property_described() -> None:
    for node in objects({key: value for key, value in embedded().items() if key != "examples"}):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            assert node["additionalProperties"] is False
            for name, schema in node["properties"].items():
                assert schema.get("description"), name


def test_every_reference_leads_somewhere_and_stands_alone() -> None:
    for node in objects(embedded()):
        if isinstance(node.get("$ref"), str):
            assert set(node) == {"$ref"}
            assert node["$ref"].rsplit("/", 1)[-1] in embedded()["definitions"]


def test_defaults_and_examples_are_themselves_legal() -> None:
    root = embedded()
    for example in root["examples"]:
        assert list(SCHEMA.iter_errors(example)) == []
    for node in objects({"properties": root["properties"], "definitions": root["definitions"]}):
        schema = {**node, "definitions": root["definitions"]}
        if "default" in node and not isinstance(node.get("properties"), dict):
            assert list(Draft7Validator(schema).iter_errors(node["default"])) == [], node
        for example in node.get("examples", ()) if isinstance(node.get("examples"), list) else ():
            assert list(Draft7Validator(schema).iter_errors(example)) == [], node


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples" / "configs").rglob("ccx*.yaml")), ids=lambda p: p.stem)
def test_the_examples_are_accepted(path: Path) -> None:
    root = load(path).locations.root
    assert root is not None
    assert list(SCHEMA.iter_errors(root.value())) == []


BASE: dict[str, Any] = {"version": "ccx/v1", "channels": {"a": {"provider": "demo"}}}


def spec(**sections: Any) -> dict[str, Any]:
    return {**BASE, **sections}


def channel(**settings: Any) -> dict[str, Any]:
    return spec(channels={"a": {"provider": "demo", **settings}})


def route(**settings: Any) -> dict[str, Any]:
    return spec(routes=[{"name": "r", "to": ["a"], **settings}])


ACCEPTED: dict[str, dict[str, Any]] = {
    "one key": channel(keys={"env": "A"}),
    "several keys": channel(keys=[{"env": "A"}, {"file": "b", "weight": 2, "limits": {"requests": "5/s"}}]),
    "no keys": channel(keys="none"),
    "breaker off": channel(breaker="off"),
    "breaker false": channel(breaker=False),
    "breaker": channel(breaker={"window": "10s", "error_rate": "12.5%"}),
    "models as a list": channel(models=["a-*", "!a-b"]),
    "models as a map": channel(models={"a-*": None, "b": "c"}),
    "one protocol": channel(protocol="chat"),
    "protocols": channel(protocol=["chat", "messages"]),
    "one rate": channel(limits={"requests": "600/min", "concurrency": "1k"}),
    "rates": channel(limits={"requests": ["5/s", "600/min"]}),
    "proxy": channel(proxy="socks5://127.0.0.1:1080"),
    "proxy by reference": channel(proxy={"env": "P"}),
    "upper-case header": channel(headers={"set": {"X-Team": "a"}, "remove": ["X-Old"]}),
    "short target": route(to=["a"]),
    "target": route(to=[{"channel": "a", "model": "m"}]),
    "group": route(to=[{"balance": "weighted", "targets": ["a", {"channel": "a", "weight": 2}]}]),
    "deny": spec(routes=[{"name": "r", "deny": {"message": "no"}}]),
    "when": route(
        when={
            "model": "a-*",
            "input_tokens": ["> 60k", "1..2"],
            "any": [{"client": ["x"]}, {"not": {"any": [{"stream": True}]}}],
            "not": {"not": {"header": {"x-y": "z"}}},
            "body": {"metadata.tier": ["gold", True, 5]},
        }
    ),
    "numbers": spec(server={"max_body": 2048, "max_concurrency": "2k"}),
    "client": spec(clients={"c": {"key": {"sha256": "0" * 64}, "budget": {"usd": 12.5}, "expires": "2027-06-30"}}),
    "client, rotating": spec(clients={"c": {"key": [{"sha256": "0" * 64}, {"sha256": "1" * 64}]}}),
    "redis": spec(state={"redis": {"url": {"env": "R"}}}),
    "memory": spec(state="memory"),
    "request policies": route(
        request={"default": {"temperature": 0.2, "stop": ["x"]}, "cap": {"max_output_tokens": 1}}
    ),
}
REFUSED: dict[str, dict[str, Any]] = {
    "no version": {"channels": BASE["channels"]},
    "no channels": {"version": "ccx/v1"},
    "unknown section": spec(foo=1),
    "unknown key": channel(foo=1),
    "both env and file": channel(keys={"env": "A", "file": "b"}),
    "neither env nor file": channel(keys={"weight": 1}),
    "an inline key": channel(keys="sk-something"),
    "an empty pool": channel(keys=[]),
    "breaker true": channel(breaker=True),
    "a bad channel name": spec(channels={"a b": {"provider": "demo"}}),
    "null for a section": spec(routes=None),
    "null for a setting": channel(http2=None),
    "text for a boolean": channel(http2="yes"),
    "text for a number": route(failover={"attempts": "3"}),
    "number for a duration": channel(timeouts={"idle": 5}),
    "a duration in plain words": channel(timeouts={"idle": "5 minutes"}),
    "a rate without a time": channel(limits={"requests": 5}),
    "an empty list of targets": route(to=[]),
    "a group without targets": route(to=[{"balance": "weighted"}]),
    "an unknown class of failure": route(failover={"on": ["oops"]}),
    "an empty list of models": route(when={"model": []}),
    "a glob with a class": route(when={"model": "a[b]"}),
    "a key in a condition": route(when={"any": [{"modle": "x"}]}),
    "a short hash": spec(clients={"c": {"key": {"sha256": "00"}}}),
}


def tree(value: Any) -> Tree:
    """The value as if it had been read."""
    from ccx.spec.diagnostics import START

    match value:
        case dict():
            return Tree({key: tree(one) for key, one in value.items()}, "f", START, dict.fromkeys(value, START))
        case list():
            return Tree(tuple(tree(one) for one in value), "f", START)
        case _:
            return Tree(value, "f", START)


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_by_schema_and_models(name: str) -> None:
    document = ACCEPTED[name]
    assert [error.message for error in SCHEMA.iter_errors(document)] == []
    Spec.model_validate(document)
    assert check_shape(tree(document)).spec is not None


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_the_schema_and_explained(name: str) -> None:
    document = REFUSED[name]
    assert not SCHEMA.is_valid(document)
    if name != "no version":
        assert check_shape(tree(document)).findings


names = st.from_regex(r"\A[a-z][a-z0-9._-]{0,8}\Z")
globs = st.from_regex(r"\A!?[a-z*][a-z0-9*./-]{0,8}\Z")
durations = st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["ms", "s", "m", "h", "d"]))
counts = st.integers(1, 10**6) | st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["", "k", "M"]))
rates = st.builds("{}/{}".format, st.integers(1, 999), st.sampled_from(["s", "min", "h", "day"]))
ranges = st.builds("{} {}".format, st.sampled_from([">", ">=", "<="]), counts) | st.integers(0, 999).map(
    lambda low: f"{low}..{low + 1}k"
)


def one_or_many(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return item | st.lists(item, min_size=1, max_size=3)


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


limits = some(requests=one_or_many(rates), input_tokens=one_or_many(rates), concurrency=counts)
keys = st.fixed_dictionaries({"env": st.just("KEY")}, optional={"weight": st.integers(0, 9), "limits": limits})
channels = st.fixed_dictionaries(
    {"provider": st.just("demo")},
    optional={
        "keys": one_or_many(keys) | st.just("none"),
        "models": st.lists(globs, min_size=1, max_size=3) | st.dictionaries(globs, st.none() | names, max_size=3),
        "timeouts": some(connect=durations, idle=durations),
        "breaker": st.sampled_from(["off", False]) | some(window=durations, consecutive=st.integers(1, 9)),
        "limits": limits,
        "headers": some(set=st.dictionaries(st.sampled_from(["x-a", "X-B"]), names)),
        "http2": st.booleans(),
    },
)
whens = st.recursive(
    some(
        model=one_or_many(globs),
        protocol=one_or_many(st.sampled_from(["messages", "chat"])),
        input_tokens=one_or_many(ranges),
        stream=st.booleans(),
        header=st.dictionaries(st.sampled_from(["x-a", "X-B"]), one_or_many(globs), max_size=2),
    ),
    lambda inner: (
        st.fixed_dictionaries({"not": inner}) | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=4,
)
targets = names | st.fixed_dictionaries({"channel": names}, optional={"model": names, "weight": st.integers(0, 9)})
groups = st.fixed_dictionaries(
    {"balance": st.sampled_from(["weighted", "round_robin"]), "targets": st.lists(targets, min_size=1, max_size=3)}
)
routes = st.fixed_dictionaries(
    {"name": names},
    optional={
        "when": whens,
        "to": st.lists(targets | groups, min_size=1, max_size=3),
        "failover": some(attempts=st.integers(1, 32), deadline=durations, backoff=some(initial=durations)),
    },
)
specs = st.fixed_dictionaries(
    {"version": st.just("ccx/v1"), "channels": st.dictionaries(names, channels, min_size=1, max_size=3)},
    optional={
        "routes": st.lists(routes, max_size=3),
        "server": some(max_body=st.integers(1024, 10**9), drain=durations),
    },
)


@given(document=specs)
def test_valid_specs_are_accepted_by_both(document: dict[str, Any]) -> None:
    assert [error.message for error in SCHEMA.iter_errors(document)] == []
    shape = check_shape(tree(document))
    assert shape.findings == ()
    assert shape.spec == Spec.model_validate(document)
    again = check_shape(tree(document), good=shape.good)
    assert (again.spec, again.good) == (shape.spec, shape.good)


@given(document=specs, data=st.data())
def test_the_command_accepts_nothing_that_an_editor_refuses(document: dict[str, Any], data: st.DataObject) -> None:
    """Break a spec anywhere: where the schema refuses, there is a finding, and where there is none it accepts."""
    broken = json.loads(json.dumps(document))
    spot = data.draw(st.sampled_from(list(_spots(broken))))
    junk = st.sampled_from([None, True, 0, -1, 1.5, "", "x y", "?", [], {}, [None], {"zz": 1}])
    container, key = spot
    container[key] = data.draw(junk)
    if isinstance(broken.get("version"), str) and broken["version"] == "ccx/v1":
        shape = check_shape(tree(broken))
        if not SCHEMA.is_valid(broken):
            assert shape.spec is None or _only_semantic(broken)
        if shape.spec is not None:
            assert SCHEMA.is_valid(broken) or _only_semantic(broken)


def _spots(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, dict):
        return [(node, key) for key in node] + [spot for child in node.values() for spot in _spots(child)]
    if isinstance(node, list):
        return [(node, index) for index in range(len(node))] + [spot for child in node for spot in _spots(child)]
    return []


def _only_semantic(document: Any) -> bool:
    """Whether all that the schema has against it is one of several keys, which the references report."""
    return all(error.validator == "oneOf" for error in SCHEMA.iter_errors(document))
