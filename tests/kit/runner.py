"""A runner of GitHub's for tests: a repository with pull requests, and the steps of an action as it would run them.

The scripts are those of the action's own file. Expressions are evaluated as far as the files use them; steps that use
other actions are noted and not run; in place of the install step there is a `ccx` of this checkout.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.kit.forges import TOKEN, FakeForge
from tests.plan.repository import Repo

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
COMMENT_ACTION = ROOT / ".github" / "actions" / "comment" / "action.yml"

GATEWAY = """\
version: ccx/v1

channels:
  anthropic: {provider: demo, tags: {region: eu}}
  gemini: {provider: demo, tags: {region: us}}

routes:
  - name: long-context
    when: {protocol: messages, model: "claude-*", input_tokens: ">= 200k"}
    to: [gemini]
  - name: default
    when: {protocol: messages}
    to: [anthropic]

tests:
  - name: a long prompt goes where there is room
    request: {model: claude-sonnet-5, input_tokens: 250k}
    expect: {route: long-context, target: gemini}
  - name: a short one stays
    request: {model: claude-sonnet-5, input_tokens: 1k}
    expect: {route: default, target: anthropic}

invariants:
  - name: other models stay in the EU
    when: {not: {model: ["claude-*", "gemini,*", "gemini/*"]}}
    never: {target: gemini}
"""
REFACTORED = (
    GATEWAY.replace("long-context", "long-prompts").replace("200k", "200000").replace("\n\n", "\n\n# Why.\n", 1)
)
MOVED = GATEWAY.replace(">= 200k", ">= 120k")
BROKEN = GATEWAY.replace("to: [gemini]", "to: [gemni]")


def yaml(path: Path) -> Any:
    """A file as plain data."""
    return YAML(typ="safe").load(path.read_text())


@dataclass
class Ran:
    """What a job did: its verdict, what it printed, the steps that use other actions, outputs, summary."""

    code: int
    log: str
    used: list[str]
    outputs: dict[str, str]
    summary: str
    temp: Path

    @property
    def report(self) -> Path:
        """The folder of reports."""
        return self.temp / "ccx-report"


@dataclass
class Runner:
    """Runs actions in a checkout, for one event at a time."""

    folder: Path
    forge: FakeForge
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.origin = Repo(self.folder / "origin")
        self.main = self.origin.commit(gateway_yaml=GATEWAY)

    def pull_request(self, name: str, spec: str, *, base: str = "main", **more: str) -> str:
        """A branch with one commit on top of the base; the commit."""
        self.origin.git("checkout", "--quiet", "-b", name, base)
        commit = self.origin.commit(gateway_yaml=spec, **more)
        self.origin.git("checkout", "--quiet", "main")
        self.forge.head = commit
        return commit

    def checkout(self, name: str, *, depth: int | None = 2, merged: bool = True) -> Repo:
        """What actions/checkout makes of a pull request: shallow, at the merge that the forge made of it."""
        self.count += 1
        ref = f"merge-{self.count}"
        self.origin.git("checkout", "--quiet", "-b", ref, "main")
        if merged:
            self.origin.git("merge", "--quiet", "--no-ff", "-m", "merge", name)
        else:
            self.origin.git("reset", "--quiet", "--hard", name)
        self.origin.git("checkout", "--quiet", "main")
        repo = Repo(self.folder / f"checkout-{self.count}")
        repo.git("remote", "add", "origin", self.origin.root.as_uri())
        repo.git("fetch", "--quiet", "--no-tags", *([f"--depth={depth}"] if depth else []), "origin", ref)
        repo.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
        return repo

    def event(self, name: str, *, fork: bool = False) -> dict[str, Any]:
        """The payload of a pull_request event."""
        head = self.origin.git("rev-parse", name)
        return {
            "pull_request": {
                "number": self.forge.number,
                "base": {"sha": self.main, "ref": "main", "repo": {"full_name": "acme/gateway"}},
                "head": {
                    "sha": head,
                    "ref": name,
                    "repo": {"full_name": "stranger/gateway" if fork else "acme/gateway"},
                },
            }
        }

    def run(
        self, repo: Repo, event: dict[str, Any], *, action: Path = ACTION, temp: Path | None = None, **inputs: str
    ) -> Ran:
        """The steps of an action with these inputs (`fail_on` is fail-on)."""
        temp = temp or self.folder / f"temp-{self.count}"
        self._install(temp)
        payload = temp / "event.json"
        payload.write_text(json.dumps(event))
        described = yaml(action)
        given = {name: str(one.get("default", "")) for name, one in described["inputs"].items()}
        given.update({name.replace("_", "-"): value for name, value in inputs.items()})
        context: dict[str, Any] = {
            "inputs": given,
            "github": {"event": event, "repository": "acme/gateway", "token": TOKEN, "action_path": str(ROOT)},
            "runner": {"temp": str(temp)},
            "steps": {},
        }
        context["inputs"] = {name: expand(value, context) for name, value in given.items()}
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_REPOSITORY": "acme/gateway",
            "GITHUB_RUN_ID": "99",
            "GITHUB_SHA": repo.git("rev-parse", "HEAD"),
            "GITHUB_STEP_SUMMARY": str(temp / "summary"),
            "GITHUB_OUTPUT": str(temp / "output"),
            "RUNNER_TEMP": str(temp),
        }
        ran = Ran(0, "", [], {}, "", temp)
        for step in described["runs"]["steps"]:
            if not holds(step.get("if", "true"), context):
                continue
            if "uses" in step:
                ran.used.append(step["uses"].partition("@")[0])
            elif step["name"] != "install":
                self._step(step, context, environ, repo=repo, ran=ran)
            if ran.code:
                break
        summary = temp / "summary"
        ran.summary = summary.read_text() if summary.exists() else ""
        return ran

    def _step(self, step: Any, context: dict[str, Any], environ: dict[str, str], *, repo: Repo, ran: Ran) -> None:
        output = ran.temp / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=repo.root,
            env={**environ, **{name: expand(value, context) for name, value in step.get("env", {}).items()}},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        if "id" in step:
            context["steps"][step["id"]] = {"outputs": outputs}
        ran.outputs.update(outputs)
        ran.log += done.stdout + done.stderr
        ran.code = done.returncode

    def _install(self, temp: Path) -> None:
        command = temp / "ccx" / "bin" / "ccx"
        command.parent.mkdir(parents=True, exist_ok=True)
        python = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -P -m ccx"
        command.write_text(f'#!/bin/sh\n{python} "$@"\n')
        command.chmod(0o755)


def expand(text: str, context: dict[str, Any]) -> str:
    """A text with its expressions evaluated."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: str(value(found[1], context)), str(text))


def holds(expression: str, context: dict[str, Any]) -> bool:
    """A condition: names, texts, == and !=, joined by &&."""
    return all(_term(term.strip(), context) for term in str(expression).split("&&"))


def _term(term: str, context: dict[str, Any]) -> bool:
    for sign, equal in (("==", True), ("!=", False)):
        if sign in term:
            left, right = (value(side.strip(), context) for side in term.split(sign))
            return (left == right) is equal
    return bool(value(term, context))


def value(name: str, context: dict[str, Any]) -> Any:
    """A text in quotes, `true`, or what a path names; nothing where it leads nowhere."""
    if name == "true":
        return True
    if name.startswith("'"):
        return name.strip("'")
    assert re.fullmatch(r"[\w.-]+", name), name
    here: Any = context
    for part in name.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return "" if here is None else here
