"""The commands, by name. A command's module is imported when the command is run, not to list it.

Law: `ccx --help` imports nothing of what ccx does. The one-line summaries stand here for that; a test holds each
against the first sentence of its command's own help.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is: the module in `ccx.cli` whose `app` has it, and its help in one line."""

    module: str
    summary: str


COMMANDS: Final[Mapping[str, Entry]] = {
    "init": Entry("init", "Write a commented ccx.yaml for the providers you have."),
    "validate": Entry("validate", "Check specs: files, schema, references, secrets."),
    "lint": Entry("lint", "Find what is wrong with specs that are valid, and put it right."),
    "fmt": Entry("fmt", "Format specs, keeping every comment."),
    "show": Entry("show", "Show a spec with its files put together, its defaults applied and each value's origin."),
    "migrate": Entry("migrate", "Rewrite a spec of an older version of the language, and prove that nothing changes."),
    "schema": Entry("validate", "Print the JSON Schema of the spec language, for editors."),
    "compile": Entry("routing", "Compile a spec to its routing table."),
    "plan": Entry("plan", "Show what a change of the spec does to requests."),
    "explain": Entry("routing", "Say which route takes a request, and why."),
    "graph": Entry("graph", "Draw the routing as a picture."),
    "replay": Entry(
        "replay", "Replay a request log: how many requests go elsewhere, from where to where, and what it costs."
    ),
    "test": Entry("test", "Run the routing tests of a spec, drill its failover, prove its invariants."),
    "ci": Entry(
        "ci", "Check a pull request: validate, lint, test and plan each spec, against where the change started."
    ),
    "comment": Entry("comment", "Tell on the pull request what ccx ci found, in one comment for each spec."),
    "fidelity": Entry("fidelity", "Show what each client keeps on each upstream."),
    "serve": Entry("serve", "Serve a spec, and swap to the new table whenever its files change."),
    "drift": Entry("drift", "Compare what a gateway serves with what the spec says."),
    "channels": Entry("channels", "Show how a gateway's channels fare, or drain, promote and resume one."),
    "canary": Entry(
        "canary", "Show the table that a gateway tries on a share of the sessions, promote it at once, or abort it."
    ),
    "apply": Entry("apply", "Apply a saved plan: check that nothing moved since, reload, and wait for every replica."),
    "keys": Entry("keys", "Make a key for a client."),
    "models": Entry("catalog", "List the models that ccx knows."),
    "providers": Entry("catalog", "List the provider presets."),
    "demo": Entry("demo", "Run the built-in demo upstream."),
}


class _Loaded(MutableMapping[str, Any]):
    """The commands as a group wants them, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            app: typer.Typer = import_module(f"ccx.cli.{COMMANDS[name].module}").app
            app.rich_markup_mode = None
            group = typer.main.get_group(app)
            self._made.update((found, group.commands[found]) for found in group.commands if found in COMMANDS)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of `--help`, from the summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])
