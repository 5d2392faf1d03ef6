"""The JSON Schema of plans in JSON, draft-07: `python -m ccx.plan.schema` writes `schema/plan.v1.json`.

Law: every key that `json.as_data` writes is described here, and its words are the model's own. Further keys are legal,
for a later minor version adds some.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from ccx.analysis import outcome
from ccx.plan import model
from ccx.plan.json import FORMAT_VERSION
from ccx.protocols.names import Protocol
from ccx.routing.table import Affinity, Balance

FILE_NAME: Final = "plan.v1.json"

JsonObject = dict[str, Any]


def generate() -> JsonObject:
    """The schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:ccx:schema:plan:v1",
        "title": "ccx plan",
        "description": f"What `ccx plan --output json` writes, format {FORMAT_VERSION}.",
        **_object(
            "A plan.",
            format_version=_text("MAJOR.MINOR; a minor version only adds keys.", pattern=r"^1\.[0-9]+$"),
            spec=_text("The spec, as it was named."),
            old=_ref("side", "What is compared."),
            new=_ref("side", "With what."),
            within=_maybe(_text("The only requests looked at, in words; null is all.")),
            complete=_flag("Whether every request was covered."),
            unfinished=_maybe(_text("Why not.")),
            no_op=_flag("Whether it is proven that no request and no upstream is treated differently."),
            analysis=_object(
                "What the analysis took; not part of the digest.",
                states=_count("States of the comparison."),
                budget=_count("How many it might have taken."),
                model_classes=_count("Kinds of model names told apart."),
                token_ranges=_count("Ranges of prompt sizes told apart."),
            ),
            summary=_object(
                "Counts.",
                routes=_object(
                    "Edits of routes.",
                    **{name: _count(f"Routes {name}.") for name in ("added", "edited", "removed", "moved", "renamed")},
                ),
                effects={
                    "type": "object",
                    "description": "Changes by effect; those that do not occur are left out.",
                    "propertyNames": _words(model.Effect),
                    "additionalProperties": _count("Changes."),
                },
                touched=_count("Edits that matter although they route nothing differently."),
            ),
            edits=_list(_ref("edit"), "All edits of the spec, by meaning."),
            changes=_list(_ref("change"), "Requests that fare differently, the gravest first."),
            touched=_list(
                _object(
                    "An edit that changes an upstream, a client or the process.",
                    edit=_count("Index into `edits`."),
                    routes=_list(_text("A route."), "The routes that use it, at once or after a failure."),
                    optional={
                        "clients": _list(_text("A client."), "The clients that belong to a group, before or after.")
                    },
                ),
                "Edits that matter although they route nothing differently.",
            ),
            marks=_list(
                _object(
                    "Something a reviewer should not miss.",
                    guard=_words(model.Guard, "What kind."),
                    message=_text("For people."),
                    changes=_list(_text("Id of a change."), "The changes it is about."),
                ),
                "What `--forbid` looks at.",
            ),
            digest=_text(
                "Binds the plan: all but names, revisions, places, commands and effort.",
                pattern="^sha256:[0-9a-f]{64}$",
            ),
        ),
        "definitions": _definitions(),
    }


def _definitions() -> JsonObject:
    return {
        "side": _object(
            "One of the two compared.",
            name=_text("What it is called: a revision, a file, the working tree, an address."),
            revision=_maybe(_text("The whole id of the commit.")),
            digest=_text("SHA-256 of the canonical table.", pattern="^[0-9a-f]{64}$"),
            absent=_flag("There is no such spec on this side."),
        ),
        "edit": _object(
            "One edit, by meaning.",
            kind=_words(model.Kind, "What was edited."),
            name=_text("Its name."),
            operation=_words(model.Operation, "What was done."),
            was=_maybe(_text("The old name, after a rename.")),
            fields=_list(
                _object(
                    "One value.",
                    path=_text("Where in the thing, such as `when.input_tokens`."),
                    before=_maybe(_text("How it read; null is absent.")),
                    after=_maybe(_text("How it reads.")),
                ),
                "The values that changed.",
            ),
            place=_maybe(
                _object(
                    "Where it stands in the new text, for a removal in the old one.",
                    file=_text("The file."),
                    line=_count("From 1."),
                    col=_count("From 1."),
                )
            ),
        ),
        "change": _object(
            "Requests that fare differently.",
            id=_text("Stays the same while the change does.", pattern="^[0-9a-f]{8}$"),
            effect=_words(model.Effect, "What it means to the client."),
            cause=_maybe(_count("Index into `edits`; null: several at once.")),
            share=_maybe(_text("The part of the traffic that is sent to another target: 0.1 is 10 %.")),
            before=_ref("outcome", "What became of them."),
            after=_ref("outcome", "What becomes of them."),
            regions=_list(
                _object(
                    "A set of requests.",
                    when={
                        "type": "object",
                        "description": "By kind of fact; all must hold, and none is every request.",
                    },
                    words=_text("The same for people."),
                    witness={"type": "object", "description": "One of the requests, in facts."},
                    command=_text("The command that explains it."),
                ),
                "Which requests; together exactly those, but for `more_regions`.",
            ),
            more_regions=_count("Regions left out of the list."),
        ),
        "outcome": {
            **_object(
                "What becomes of a request.",
                kind=_words(outcome.Kind, "In one word."),
                route=_maybe(_text("The route that decides.")),
                stages=_list(_ref("stage"), "Whom it is sent to, in failover order."),
                treatment={"type": "object", "description": "Failover, policy, on_loss, cache; defaults left out."},
                deny=_object("The refusal.", status=_count("HTTP status."), message=_text("For the client.")),
                reason=_text("Why it cannot be served."),
            ),
            "required": ["kind", "route"],
        },
        "stage": _object(
            "One step of the failover order.",
            balance=_words(Balance, "How one of them is chosen."),
            affinity=_words(Affinity, "What keeps a conversation on one."),
            targets=_list(
                _object(
                    "A target.",
                    channel=_text("The channel."),
                    protocol={"enum": [one.value for one in Protocol], "description": "In which protocol it is asked."},
                    model=_maybe(_text("The model it is asked for; null is the client's.")),
                    share=_text("Its part of the step's requests, as a fraction.", pattern="^[0-9]+(/[0-9]+)?$"),
                ),
                "Who shares the load.",
            ),
        ),
    }


def _object(
    description: str, *, optional: Mapping[str, JsonObject] | None = None, **properties: JsonObject
) -> JsonObject:
    return {
        "type": "object",
        "description": description,
        "required": sorted(properties),
        "properties": {**properties, **(optional or {})},
    }


def _list(items: JsonObject, description: str) -> JsonObject:
    return {"type": "array", "description": description, "items": items}


def _text(description: str, *, pattern: str | None = None) -> JsonObject:
    return {"type": "string", "description": description, **({"pattern": pattern} if pattern is not None else {})}


def _count(description: str) -> JsonObject:
    return {"type": "integer", "minimum": 0, "description": description}


def _flag(description: str) -> JsonObject:
    return {"type": "boolean", "description": description}


def _words(literal: Any, description: str = "One of these.") -> JsonObject:
    return {"enum": list(get_args(literal)), "description": description}


def _maybe(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str, description: str | None = None) -> JsonObject:
    # In draft-07 what stands beside a reference is passed over.
    reference: JsonObject = {"$ref": f"#/definitions/{name}"}
    return reference if description is None else {"allOf": [reference], "description": description}


def render(schema: JsonObject) -> str:
    """The schema as the file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(repository: Path) -> Path:
    """Write the file of the repository; its path."""
    path = repository / "schema" / FILE_NAME
    path.write_text(render(generate()), encoding="utf-8")
    return path


if __name__ == "__main__":
    write(Path(__file__).parents[2])
