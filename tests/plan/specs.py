"""A spec and edits of it, as text; and texts as the two sides of a comparison."""

from __future__ import annotations

from pathlib import Path

from ccx.plan.edits import Compared
from ccx.routing.compile import compile_spec
from ccx.spec.validate import load

SPEC = """\
version: ccx/v1
server: {direct: false}
clients:
  team-a:
    key: {sha256: "2222222222222222222222222222222222222222222222222222222222222222"}
    tags: {team: core}
  eval-nightly:
    key: {sha256: "3333333333333333333333333333333333333333333333333333333333333333"}
    models: [claude-*, gpt-*]
channels:
  anthropic:
    provider: anthropic
    keys: {env: ANTHROPIC_KEY}
    tags: {region: eu}
  gemini:
    provider: gemini
    keys: {env: GEMINI_KEY}
    tags: {region: us}
  openai: {provider: openai, keys: [{env: OPENAI_A}, {env: OPENAI_B}], tags: {region: us}}
  lab: {protocol: chat, base_url: "http://127.0.0.1:8000", keys: none}
models:
  qwen3-coder: {context_window: 64k, tools: false, price: {input: 0.10, output: 0.40}}
routes:
  - name: evals
    when: {client: "eval-*"}
    to: [{channel: lab, model: qwen3-coder}, anthropic]
  - name: long-context
    when: {model: claude-*, input_tokens: "> 200k"}
    to: [{channel: gemini, model: gemini-2.5-pro}, anthropic]
  - name: claude
    when: {model: claude-*}
    to: [anthropic, {channel: gemini, model: gemini-2.5-flash}]
  - name: mini
    when: {model: "gpt-*-mini"}
    to:
      - {balance: weighted, targets: [{channel: openai, weight: 9}, {channel: lab, model: qwen3-coder}]}
      - anthropic
  - name: gpt
    when: {model: "gpt-*"}
    to: [openai]
  - name: rest
    to: [anthropic, openai]
defaults:
  failover: {attempts: 3}
  channel: {timeouts: {first_byte: 60s}}
"""

CLAUDE = (
    "  - name: claude\n    when: {model: claude-*}\n    to: [anthropic, {channel: gemini, model: gemini-2.5-flash}]\n"
)

# Each is a list of replacements (old, new) in SPEC.
EDITS: dict[str, list[tuple[str, str]]] = {
    "threshold moved": [("> 200k", "> 128k")],
    "route added above": [
        (
            "  - name: claude\n",
            "  - name: haiku-local\n    when: {model: claude-haiku-*, input_tokens: < 8k, tools: false}\n"
            "    to: [{channel: lab, model: qwen3-coder}]\n  - name: claude\n",
        )
    ],
    "route moved": [
        ('  - name: gpt\n    when: {model: "gpt-*"}\n    to: [openai]\n', ""),
        ("  - name: mini\n", '  - name: gpt\n    when: {model: "gpt-*"}\n    to: [openai]\n  - name: mini\n'),
    ],
    "route renamed": [("name: claude\n", "name: claude-all\n")],
    "comments and spellings": [
        ("version: ccx/v1\n", "# a comment\nversion: ccx/v1\n"),
        ("first_byte: 60s", "first_byte: 1m"),
        ("to: [openai]", "to: [{channel: openai}]"),
        ("{model: claude-*, input_tokens: \"> 200k\"}", "{input_tokens: \">= 200001\", model: [claude-*]}"),
    ],
    "reorder without effect": [
        (CLAUDE, ""),
        ('  - name: rest\n', CLAUDE + '  - name: rest\n'),
    ],
    "weights": [("weight: 9", "weight: 4")],
    "allowlist": [("keys: {env: ANTHROPIC_KEY}\n", "keys: {env: ANTHROPIC_KEY}\n    models: [claude-*]\n")],
    "channel address": [("http://127.0.0.1:8000", "http://lab.internal:8000")],
    "key reference": [("env: OPENAI_B", "file: keys/openai-b")],
    "client added": [
        (
            "clients:\n",
            'clients:\n  team-b: {key: {sha256: "4444444444444444444444444444444444444444444444444444444444444444"}}\n',
        )
    ],
    "new deny": [
        ("  - name: evals\n", "  - name: no-o3\n    when: {model: o3*}\n    deny: {message: No o3.}\n  - name: evals\n")
    ],
    "catch-all removed": [("  - name: rest\n    to: [anthropic, openai]\n", "")],
    "defaults": [("attempts: 3", "attempts: 5"), ("first_byte: 60s", "first_byte: 30s")],
    "price and window": [("0.10", "0.20"), ("context_window: 64k", "context_window: 32k")],
    "channel disabled": [("tags: {region: us}\n  openai", "tags: {region: us}\n    enabled: false\n  openai")],
    "model of a target": [("gemini-2.5-flash", "gemini-2.5-pro")],
    "client may ask less": [("models: [claude-*, gpt-*]", "models: [claude-*]")],
    "region": [("tags: {region: eu}", "tags: {region: ap}")],
    "failover shortened": [("to: [anthropic, openai]", "to: [anthropic]")],
}  # fmt: skip


def edited(name: str) -> str:
    """The spec after an edit."""
    text = SPEC
    for old, new in EDITS[name]:
        assert text.count(old) == 1, (name, old, text.count(old))
        text = text.replace(old, new)
    return text


def side(text: str, name: str = "side") -> Compared:
    """One side of a comparison. The text must be a valid spec."""
    loaded = load(Path("ccx.yaml"), read=lambda _: text.encode())
    assert loaded.spec is not None, loaded.diagnostics
    compiled = compile_spec(loaded.spec, locations=loaded.locations)
    assert compiled.servable, compiled.diagnostics
    return Compared(compiled, name, None, loaded.locations)
