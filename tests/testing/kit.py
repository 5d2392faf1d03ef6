"""A spec in a test, and its tests run."""

from __future__ import annotations

import textwrap
from functools import partial
from pathlib import Path

from ccx.analysis.asking import command
from ccx.analysis.outcome import Judge
from ccx.cli.explained import UNICODE, as_text
from ccx.spec.diagnostics import has_errors
from ccx.testing.cases import expand
from ccx.testing.invariants import prove_all
from ccx.testing.model import Report, Result
from ccx.testing.promises import Promises, gather
from ccx.testing.render.text import render_text
from ccx.testing.run import Runner
from ccx.testing.suggest import Survey

CHANNELS = """
version: ccx/v1
channels:
  main: {provider: anthropic, keys: {env: A}, tags: {region: us}}
  backup: {provider: openrouter, protocol: messages, keys: {env: B}, tags: {region: eu}}
  oai: {provider: openai, keys: [{env: C}, {env: D}], tags: {region: eu}}
  gem: {provider: gemini, keys: {env: E}}
  only: {provider: demo, models: [picky-one]}
clients:
  core: {key: {sha256: "6d21164477a9c73e31be668f4b7a43ac4facb88e86af815d2e8c9604419b69d4"}, tags: {team: core}}
  intern:
    key: {sha256: "5a50774b80520af57df6890d2dcde401a066de76d2d9fa5f17c200cd0a0711f7"}
    models: [claude-*]
  ops: {key: {sha256: "365d70c2eb14fdc940db23ae9aaf88daceb7c94c55bdf39da5626e8b1793ddca"}, direct: true}
  gone: {key: {sha256: "c892cb9c488d831719eec8b2a3c3c1b92d8826fd039828e51a2f8b35a478afe7"}, enabled: false}
routes:
  - name: images
    when: {protocol: images, client: intern}
    deny: {status: 403, message: "no"}
  - name: long
    when: {protocol: messages, model: claude-*, input_tokens: "> 60k"}
    to: [{channel: gem, model: gemini-2.5-pro}, main]
  - name: shared
    when: {protocol: chat, model: gpt-*}
    to:
      - balance: weighted
        targets: [{channel: oai, weight: 9}, {channel: gem, model: gemini-2.5-flash}]
      - {channel: main, model: claude-sonnet-5}
  - name: claude
    when: {model: claude-*, protocol: [messages, chat, responses, gemini]}
    to: [main, {channel: backup, model: anthropic/claude-opus-5}]
  - name: picky
    when: {model: picky-*}
    to: [only]
"""


def promises(text: str, folder: Path) -> Promises:
    """The promises of a spec; `text` without `version:` follows the channels and routes above."""
    body = textwrap.dedent(text)
    (folder / "ccx.yaml").write_text(body if "version:" in body else CHANNELS + body)
    found = gather(folder / "ccx.yaml")
    assert not has_errors(found.loaded.diagnostics), found.loaded.diagnostics
    assert all(not has_errors(suite.diagnostics) for suite in found.suites)
    return found


def report(text: str, folder: Path, *, coverage: bool = False) -> Report:
    """All of it run."""
    found = promises(text, folder)
    assert found.compiled is not None
    judge = Judge(found.compiled.table)
    cases = expand(found.tests, judge)
    runner = Runner(found.compiled, judge)
    results = tuple(runner.run_all(cases))
    survey = Survey(found.compiled, judge, runner, {case.test.name for case in cases})
    return Report(
        "ccx.yaml",
        found.compiled.digest,
        results,
        prove_all(found.invariants, found.compiled, judge),
        survey.coverage(results) if coverage else None,
        found.floors,
    )


def results(text: str, folder: Path) -> tuple[Result, ...]:
    """The tests run."""
    return report(text, folder).results


def shown(one: Report, folder: Path, *, detailed: bool = True) -> str:
    """The report as a person sees it, without this machine's folder and the table's digest."""
    text = render_text(
        one, explain=partial(as_text, digest="0" * 12, signs=UNICODE), ask=partial(command), detailed=detailed
    )
    return text.replace(str(folder) + "/", "")
